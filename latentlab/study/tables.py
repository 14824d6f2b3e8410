"""The paper's tables 1 to 4 as rows of generators, spaces and measurements, each with its published numbers.

Karras, Laine, Aila 2019, arXiv 1812.04948; all published numbers are of FFHQ at 1024x1024.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from latentlab.report.published import TABLE_4

Letter = Literal["A", "B", "C", "D", "E", "F"]
Space = Literal["z", "w"]
Measure = Literal["fid", "fid_mixed2", "fid_mixed3", "fid_mixed4", "full", "end", "separability"]
"""What a column holds: FID of one latent or of several mixed ones, the two path lengths, linear separability."""

MEASURES: Mapping[Measure, str] = MappingProxyType(
    {
        "fid": "FID",
        "fid_mixed2": "FID, 2 latents",
        "fid_mixed3": "FID, 3 latents",
        "fid_mixed4": "FID, 4 latents",
        "full": "PPL full",
        "end": "PPL end",
        "separability": "Separability",
    }
)
"""Titles of the columns; lower is better in all of them."""

OF_A_SPACE: tuple[Measure, ...] = ("full", "end", "separability")
TRADITIONAL = ("A", "B")


class Variant(BaseModel):
    """A generator that a study trains: what distinguishes it from the others.

    Attributes:
        name: What it goes by, and the beginning of its run folders' names.
        config: A configuration of the paper.
        mapping_depth: Layers of its mapping network.
        mixing: How often styles are mixed in training; the configuration's if None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    config: Letter
    mapping_depth: int = Field(ge=0, le=1000, strict=True)
    mixing: float | None = Field(None, ge=0, le=1, strict=True)

    @model_validator(mode="after")
    def _can_mix(self) -> Self:
        if self.mixing and self.config in TRADITIONAL:
            raise ValueError(f"mixing {self.mixing:g}: configuration {self.config} has no styles to mix")
        return self

    @property
    def settings(self) -> tuple[str, int, float | None]:
        """What decides how it is trained; two variants of the same settings are one."""
        return self.config, self.mapping_depth, self.mixing


class Row(BaseModel):
    """A line of a table.

    Attributes:
        generator: A variant's name.
        label: What stands in the line's first column; the variant's name if left out.
        space: Where path lengths and separability are measured; None in a table of FID.
        paper: Published numbers by measure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    generator: str
    label: str = ""
    space: Space | None = None
    paper: dict[Measure, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)


class Table(BaseModel):
    """A table of a study: its lines, and what is measured in each.

    Attributes:
        orderings: Pairs of rows by their labels (or generators, without), of which the first should be lower; beside
            the paper's own, which are looked at wherever both rows are there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    title: str
    measures: tuple[Measure, ...] = Field(min_length=1)
    rows: tuple[Row, ...] = Field(min_length=1)
    orderings: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.measures)) < len(self.measures):
            raise ValueError("a measure stands there twice")
        needs_space = [measure for measure in self.measures if measure in OF_A_SPACE]
        seen = set[tuple[str, Space | None]]()
        for row in self.rows:
            if needs_space and row.space is None:
                raise ValueError(f"the row of {row.generator} needs space z or w, for {', '.join(needs_space)}")
            if (row.generator, row.space) in seen:
                raise ValueError(f"the row of {row.generator} in {row.space or 'no space'} stands there twice")
            seen.add((row.generator, row.space))
        for name in (name for pair in self.orderings for name in pair):
            self.row_called(name)
        return self

    def row_called(self, name: str) -> Row:
        """The row of a label, or of a generator's name where it has none.

        Raises:
            ValueError: There is none, or more than one.
        """
        found = [row for row in self.rows if (row.label or row.generator) == name]
        if len(found) != 1:
            rows = ", ".join(row.label or row.generator for row in self.rows)
            raise ValueError(f"orderings: {len(found) or 'no'} rows are called {name}, of {rows}")
        return found[0]


def _variant(config: Letter, depth: int, mixing: float | None = None) -> Variant:
    kind = {"F": "style", "B": "traditional"}.get(config, config)
    share = "" if mixing is None else f"-mixing{round(mixing * 100)}"
    return Variant(name=f"{kind}-{depth}{share}", config=config, mapping_depth=depth, mixing=mixing)


A0, B0, B8 = _variant("A", 0), _variant("B", 0), _variant("B", 8)
C8, D8, E8 = _variant("C", 8), _variant("D", 8), _variant("E", 8)
F0, F1, F2, F8 = (_variant("F", depth) for depth in (0, 1, 2, 8))
F8_50, F8_100 = _variant("F", 8, 0.5), _variant("F", 8, 1.0)

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {variant.name: variant for variant in (A0, B0, B8, C8, D8, E8, F0, F1, F2, F8, F8_50, F8_100)}
)
"""The paper's generators, by name; a recipe may add others. Configuration E is F without mixing."""


def _table_1() -> Iterator[Row]:
    published = {"A": 8.04, "B": 5.25, "C": 4.85, "D": 4.88, "E": 4.42, "F": 4.40}
    titles = {
        "A": "A baseline progressive GAN",
        "B": "B + tuning",
        "C": "C + mapping and styles",
        "D": "D + remove traditional input",
        "E": "E + noise inputs",
        "F": "F + mixing regularisation",
    }
    for variant in (A0, B0, C8, D8, E8, F8):
        yield Row(generator=variant.name, label=titles[variant.config], paper={"fid": published[variant.config]})


def _table_2() -> Iterator[Row]:
    published = {
        E8: ("0 %", 4.42, 8.22, 12.88, 17.41),
        F8_50: ("50 %", 4.41, 6.10, 8.71, 11.61),
        F8: ("90 %", 4.40, 5.11, 6.88, 9.03),
        F8_100: ("100 %", 4.83, 5.17, 6.63, 8.40),
    }
    for variant, (share, one, two, three, four) in published.items():
        paper: dict[Measure, float] = {"fid": one, "fid_mixed2": two, "fid_mixed3": three, "fid_mixed4": four}
        yield Row(generator=variant.name, label=f"mixing in training {share}", paper=paper)


def _table_3() -> Iterator[Row]:
    lines: tuple[tuple[Variant, Space, str, float, float, float], ...] = (
        (B0, "z", "B traditional", 412.0, 415.3, 10.78),
        (D8, "w", "D style-based", 446.2, 376.6, 3.61),
        (E8, "w", "E + noise inputs", 200.5, 160.6, 3.54),
        (F8_50, "w", "+ mixing 50 %", 231.5, 182.1, 3.51),
        (F8, "w", "F + mixing 90 %", 234.0, 195.9, 3.79),
    )
    for variant, space, label, full, end, ls in lines:
        paper: dict[Measure, float] = {"full": full, "end": end, "separability": ls}
        yield Row(generator=variant.name, space=space, label=label, paper=paper)


def _table_4() -> Iterator[Row]:
    kinds = {("traditional", 0): B0, ("traditional", 8): B8}
    kinds |= {("style", variant.mapping_depth): variant for variant in (F0, F1, F2, F8)}
    for row in TABLE_4:
        paper: dict[Measure, float] = {
            "fid": row.fid,
            "full": row.ppl_full,
            "end": row.ppl_end,
            "separability": row.ls,
        }
        yield Row(generator=kinds[row.arch, row.depth].name, space=row.space, label=row.label, paper=paper)


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            Table(name="1", title="FID of the designs A to F", measures=("fid",), rows=tuple(_table_1())),
            Table(
                name="2",
                title="FID when several latents are mixed in an image",
                measures=("fid", "fid_mixed2", "fid_mixed3", "fid_mixed4"),
                rows=tuple(_table_2()),
            ),
            Table(
                name="3",
                title="Path lengths and separability of designs",
                measures=("full", "end", "separability"),
                rows=tuple(_table_3()),
            ),
            Table(
                name="4",
                title="The effect of the mapping network",
                measures=("fid", "full", "end", "separability"),
                rows=tuple(_table_4()),
            ),
        )
    }
)
"""By the paper's numbers."""
