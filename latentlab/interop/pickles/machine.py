"""A stack machine for the pickle instructions that official files contain; it only puts together, and calls nothing.

Python's own unpickler looks names up and calls what it finds, and allocates what a file claims to hold. This one knows
names as names, hands what shall be called to a table of our functions (`vocabulary`), and takes bytes as views of the
file. Instructions: the reference is Python's `pickletools`.
"""

import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.cursor import Cursor, decoded
from latentlab.interop.pickles.words import Global, Vocabulary

_OPCODES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_LARGEST_KEY = 1 << 10
"""Numbers that may be keys are few, for they hash to themselves, and many can be chosen so that they collide."""


class Machine:
    """One pickle stream's state: a stack, the marks on it, and the memo."""

    def __init__(self, cursor: Cursor, vocabulary: Vocabulary, budget: Budget) -> None:
        self.cursor, self.vocabulary, self.budget = cursor, vocabulary, budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.instruction = 0

    def run(self) -> Any:
        """The one object that the stream makes; the cursor stands behind it then.

        Raises:
            RefusedError: The stream has an instruction or a name that is not on the list, is damaged, or costs too
                much.
        """
        if self.cursor.number(1) != pickle.PROTO[0] or self.cursor.number(1) not in (2, 3, 4, 5):
            raise RefusedError("is no pickle of protocol 2 to 5, as official network files are.")
        while True:
            self.budget.step()
            self.instruction = self.cursor.number(1)
            if self.instruction == pickle.STOP[0]:
                return self._end()
            handler = _HANDLERS.get(self.instruction)
            if handler is None:
                raise RefusedError(
                    f"has the pickle instruction {self._name()} at byte {self.cursor.position - 1:,}, which official "
                    "network files do not contain; it is damaged or no such file. Nothing in it was executed."
                )
            handler(self)

    def _end(self) -> Any:
        made = self.pop()
        if self.stack or self.marks:
            raise self.damaged("leaves something over")
        return made

    def _name(self) -> str:
        known = _OPCODES.get(self.instruction)
        return known or f"0x{self.instruction:02x}"

    def damaged(self, how: str) -> RefusedError:
        """The error for an instruction that does not fit what came before it."""
        return RefusedError(f"is damaged: the instruction {self._name()} at byte {self.cursor.position - 1:,} {how}.")

    def pop(self) -> Any:
        """The top of the stack, taken off; what lies under a mark stays."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("finds too little to work on")
        return self.stack.pop()

    def top(self, kind: type | None = None) -> Any:
        """The top of the stack, left there; of a type, if one is given."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("finds too little to work on")
        if kind is not None and type(self.stack[-1]) is not kind:
            raise self.damaged(f"expects a {kind.__name__}")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Everything above the topmost mark, taken off with it."""
        if not self.marks:
            raise self.damaged("finds no mark")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def text(self, size: int) -> None:
        """Push text of so many bytes."""
        data = self.cursor.take(size)
        self.budget.text(size)
        self.stack.append(decoded(data))

    def remember(self, index: int) -> None:
        """Put the top of the stack into the memo, whose entries are numbered without gaps."""
        if index > len(self.memo) + 1:  # some picklers begin with 1
            raise self.damaged(f"puts entry {index:,} into a memo of {len(self.memo):,}")
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push what the memo holds."""
        if index not in self.memo:
            raise self.damaged(f"asks for entry {index:,} of the memo, which has none")
        self.stack.append(self.memo[index])

    def find(self, module: Any, name: Any) -> None:
        """Push a name that is on the list."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.damaged("expects two texts")
        found = Global(module, name)
        if (module, name) not in self.vocabulary.names:
            raise RefusedError(
                f"refers to {found}, which official network files do not: either it is another kind of pickle, or "
                "somebody put it there to run code. Nothing was looked up or executed."
            )
        self.stack.append(found)

    def set_items(self, items: list[Any]) -> None:
        """Keys and values in turn into the dict that is on top."""
        target = self.top(dict)
        if len(items) % 2:
            raise self.damaged("finds a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[hashable(key)] = value

    def reduce(self) -> None:
        """Let the table's function answer in place of what the file wants called."""
        arguments, called = self.pop(), self.pop()
        function = self.vocabulary.calls.get((called.module, called.name)) if isinstance(called, Global) else None
        if function is None or not isinstance(arguments, tuple):
            raise RefusedError(f"calls {_described(called)}, which official files do not. Nothing was executed.")
        self.stack.append(function(arguments, self.budget))

    def new_object(self) -> None:
        """An empty object of one of the table's classes."""
        arguments, made = self.pop(), self.pop()
        maker = self.vocabulary.makers.get((made.module, made.name)) if isinstance(made, Global) else None
        if maker is None or not isinstance(arguments, tuple) or arguments:
            raise RefusedError(
                f"makes an object of {_described(made)} in a way that official files do not. Nothing was executed."
            )
        self.stack.append(maker())

    def build(self) -> None:
        """Give the object on top its state, by the table's function for its type."""
        state = self.pop()
        target = self.top()
        function = next((made for kind, made in self.vocabulary.builders.items() if isinstance(target, kind)), None)
        if function is None:
            raise RefusedError(
                f"gives {_described(target)} a state, which official files do not. Nothing was executed."
            )
        function(target, state, self.budget)

    def persistent(self) -> None:
        """Something outside the stream, by the table's function."""
        identifier = self.pop()
        if self.vocabulary.persistent is None:
            raise RefusedError("refers to something outside itself (a persistent id), which official files do not.")
        self.stack.append(self.vocabulary.persistent(identifier))

    def frame(self) -> None:
        """Pass over a frame's length, which must be there."""
        length = self.cursor.number(8)
        self.cursor.take(length)
        self.cursor.position -= length


def hashable(key: Any) -> Any:
    """A key of a dict or member of a set: text, or a small number; others cannot be hashed within bounded time.

    Raises:
        RefusedError: It is something else.
    """
    if isinstance(key, str) or (isinstance(key, int) and 0 <= key < _LARGEST_KEY):
        return key
    raise RefusedError(f"has {_described(key)} as a key, where official files have text.")


def _described(value: Any) -> str:
    return str(value) if isinstance(value, Global) else f"a value of type {type(value).__name__}"


def _push(value: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(value())


def _with(size: int, work: Callable[[Machine, int], None]) -> Callable[[Machine], None]:
    """An instruction with an unsigned number of so many bytes."""
    return lambda machine: work(machine, machine.cursor.number(size))


def _bytes(machine: Machine, size: int) -> None:
    machine.stack.append(machine.cursor.take(size))


def _signed(machine: Machine, size: int) -> None:
    machine.stack.append(int.from_bytes(machine.cursor.take(size), "little", signed=True))


def _tuple(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(tuple(machine.pop() for _ in range(count))[::-1])


def _append(machine: Machine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _add_items(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.top(set).update(hashable(item) for item in items)


def _extend(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.top(list).extend(items)


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.find(module, name)


_BY_CODE: dict[bytes, Callable[[Machine], None]] = {
    pickle.MARK: lambda machine: machine.marks.append(len(machine.stack)),
    pickle.FRAME: Machine.frame,
    pickle.NONE: _push(lambda: None),
    pickle.NEWTRUE: _push(lambda: True),
    pickle.NEWFALSE: _push(lambda: False),
    pickle.BININT: lambda machine: _signed(machine, 4),
    pickle.BININT1: _with(1, lambda machine, value: machine.stack.append(value)),
    pickle.BININT2: _with(2, lambda machine, value: machine.stack.append(value)),
    pickle.LONG1: _with(1, _signed),
    pickle.BINFLOAT: lambda machine: machine.stack.append(struct.unpack(">d", machine.cursor.take(8))[0]),
    pickle.SHORT_BINUNICODE: _with(1, Machine.text),
    pickle.BINUNICODE: _with(4, Machine.text),
    pickle.BINUNICODE8: _with(8, Machine.text),
    pickle.SHORT_BINBYTES: _with(1, _bytes),
    pickle.BINBYTES: _with(4, _bytes),
    pickle.BINBYTES8: _with(8, _bytes),
    pickle.BYTEARRAY8: _with(8, _bytes),
    pickle.EMPTY_TUPLE: _push(tuple),
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.TUPLE: lambda machine: machine.stack.append(tuple(machine.pop_mark())),
    pickle.EMPTY_LIST: _push(list),
    pickle.APPEND: _append,
    pickle.APPENDS: _extend,
    pickle.EMPTY_DICT: _push(dict),
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: lambda machine: machine.set_items(machine.pop_mark()),
    pickle.EMPTY_SET: _push(set),
    pickle.ADDITEMS: _add_items,
    pickle.BINPUT: _with(1, Machine.remember),
    pickle.LONG_BINPUT: _with(4, Machine.remember),
    pickle.MEMOIZE: lambda machine: machine.remember(len(machine.memo)),
    pickle.BINGET: _with(1, Machine.recall),
    pickle.LONG_BINGET: _with(4, Machine.recall),
    pickle.GLOBAL: lambda machine: machine.find(machine.cursor.line(), machine.cursor.line()),
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: Machine.reduce,
    pickle.NEWOBJ: Machine.new_object,
    pickle.BUILD: Machine.build,
    pickle.BINPERSID: Machine.persistent,
}
_HANDLERS = {code[0]: handler for code, handler in _BY_CODE.items()}
