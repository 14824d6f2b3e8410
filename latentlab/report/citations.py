"""The works that a report's methods cite: in words, as BibTeX, and as the marks `[@key]` in its texts."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MARK = re.compile(r"\s*\[@([a-z0-9,@ ]+)\]")
_BIBTEX = str.maketrans({"ń": r"{\'n}", "ł": r"{\l}", "&": r"\&"})


@dataclass(frozen=True)
class Work:
    """A published work.

    Attributes:
        key: By which it is cited.
        authors: Given names first; `others` as the last one for those not named.
        title: In the authors' capitals.
        year: Of publication.
        venue: Proceedings or journal.
        journal: Whether `venue` is a journal.
        volume: Of the journal, with the number in brackets if there is one.
        pages: First and last.
        arxiv: Number of the preprint.
    """

    key: str
    authors: tuple[str, ...]
    title: str
    year: int
    venue: str
    journal: bool = False
    volume: str = ""
    pages: str = ""
    arxiv: str = ""

    @property
    def short(self) -> str:
        """`Karras et al., 2019`."""
        last = [name.split()[-1] for name in self.authors]
        who = last[0] if len(last) == 1 else " and ".join(last) if len(last) == 2 else f"{last[0]} et al."
        return f"{who.replace(' and others', ' et al.')}, {self.year}"

    @property
    def text(self) -> str:
        """The whole reference on one line."""
        named = [name for name in self.authors if name != "others"]
        who = ", ".join(named) + (" et al." if len(named) < len(self.authors) else "")
        where = " ".join(part for part in (self.venue, self.volume) if part)
        parts = [where, f"pp. {self.pages}" if self.pages else "", f"arXiv {self.arxiv}" if self.arxiv else ""]
        return f"{who}: {self.title}. {', '.join(part for part in (*parts, str(self.year)) if part)}."

    @property
    def bibtex(self) -> str:
        """An entry of a .bib file."""
        number = re.fullmatch(r"(\d+)\((\d+)\)", self.volume)
        fields = {
            "author": " and ".join(map(_last_first, self.authors)),
            "title": "{" + self.title + "}",
            "journal" if self.journal else "booktitle": self.venue,
            "volume": number[1] if number else self.volume,
            "number": number[2] if number else "",
            "pages": self.pages.replace("–", "--"),
            "year": str(self.year),
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else "",
        }
        lines = [f"  {name} = {{{value.translate(_BIBTEX)}}}" for name, value in fields.items() if value]
        kind = "article" if self.journal else "inproceedings"
        return f"@{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}\n"


def _last_first(name: str) -> str:
    given, _, last = name.rpartition(" ")
    return f"{last}, {given}" if given else last


_CVPR = "Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition"
_NEURIPS = "Advances in Neural Information Processing Systems"
_ICLR = "International Conference on Learning Representations"
_JMLR = "Journal of Machine Learning Research"

_ALL = (
    Work(
        "karras2019style", ("Tero Karras", "Samuli Laine", "Timo Aila"),
        "A Style-Based Generator Architecture for Generative Adversarial Networks",
        2019, _CVPR, pages="4401–4410", arxiv="1812.04948",
    ),
    Work(
        "karras2018progressive", ("Tero Karras", "Timo Aila", "Samuli Laine", "Jaakko Lehtinen"),
        "Progressive Growing of GANs for Improved Quality, Stability, and Variation",
        2018, _ICLR, arxiv="1710.10196",
    ),
    Work(
        "karras2020analyzing",
        ("Tero Karras", "Samuli Laine", "Miika Aittala", "Janne Hellsten", "Jaakko Lehtinen", "Timo Aila"),
        "Analyzing and Improving the Image Quality of StyleGAN", 2020, _CVPR, pages="8110–8119", arxiv="1912.04958",
    ),
    Work(
        "karras2020training",
        ("Tero Karras", "Miika Aittala", "Janne Hellsten", "Samuli Laine", "Jaakko Lehtinen", "Timo Aila"),
        "Training Generative Adversarial Networks with Limited Data", 2020, _NEURIPS, arxiv="2006.06676",
    ),
    Work(
        "zhang2018unreasonable",
        ("Richard Zhang", "Phillip Isola", "Alexei A. Efros", "Eli Shechtman", "Oliver Wang"),
        "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
        2018, _CVPR, pages="586–595", arxiv="1801.03924",
    ),
    Work(
        "simonyan2015very", ("Karen Simonyan", "Andrew Zisserman"),
        "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, _ICLR, arxiv="1409.1556",
    ),
    Work(
        "heusel2017gans",
        ("Martin Heusel", "Hubert Ramsauer", "Thomas Unterthiner", "Bernhard Nessler", "Sepp Hochreiter"),
        "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
        2017, _NEURIPS, arxiv="1706.08500",
    ),
    Work(
        "binkowski2018demystifying",
        ("Mikołaj Bińkowski", "Danica J. Sutherland", "Michael Arbel", "Arthur Gretton"),
        "Demystifying MMD GANs", 2018, _ICLR, arxiv="1801.01401",
    ),
    Work(
        "liu2015deep", ("Ziwei Liu", "Ping Luo", "Xiaogang Wang", "Xiaoou Tang"),
        "Deep Learning Face Attributes in the Wild",
        2015, "Proceedings of the IEEE International Conference on Computer Vision", pages="3730–3738",
        arxiv="1411.7766",
    ),
    Work(
        "fan2008liblinear",
        ("Rong-En Fan", "Kai-Wei Chang", "Cho-Jui Hsieh", "Xiang-Rui Wang", "Chih-Jen Lin"),
        "LIBLINEAR: A Library for Large Linear Classification",
        2008, _JMLR, journal=True, volume="9", pages="1871–1874",
    ),
    Work(
        "efron1979bootstrap", ("Bradley Efron",), "Bootstrap Methods: Another Look at the Jackknife",
        1979, "The Annals of Statistics", journal=True, volume="7(1)", pages="1–26",
    ),
    Work(
        "chen2018isolating",
        ("Ricky T. Q. Chen", "Xuechen Li", "Roger Grosse", "David Duvenaud"),
        "Isolating Sources of Disentanglement in Variational Autoencoders", 2018, _NEURIPS, arxiv="1802.04942",
    ),
    Work(
        "eastwood2018framework", ("Cian Eastwood", "Christopher K. I. Williams"),
        "A Framework for the Quantitative Evaluation of Disentangled Representations", 2018, _ICLR,
    ),
    Work(
        "kumar2018variational", ("Abhishek Kumar", "Prasanna Sattigeri", "Avinash Balakrishnan"),
        "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
        2018, _ICLR, arxiv="1711.00848",
    ),
    Work(
        "ridgeway2018learning", ("Karl Ridgeway", "Michael C. Mozer"),
        "Learning Deep Disentangled Embeddings With the F-Statistic Loss", 2018, _NEURIPS, arxiv="1802.05312",
    ),
    Work(
        "paszke2019pytorch", ("Adam Paszke", "others"),
        "PyTorch: An Imperative Style, High-Performance Deep Learning Library", 2019, _NEURIPS, arxiv="1912.01703",
    ),
    Work(
        "pedregosa2011scikit", ("Fabian Pedregosa", "others"), "Scikit-learn: Machine Learning in Python",
        2011, _JMLR, journal=True, volume="12", pages="2825–2830",
    ),
)  # fmt: skip
WORKS = {work.key: work for work in _ALL}
"""Every work that can be cited, by its key."""


def cited(texts: Sequence[str]) -> list[Work]:
    """The works that texts cite, in the order in which they first do."""
    keys = [key for text in texts for mark in _MARK.findall(text) for key in _keys(mark)]
    return [WORKS[key] for key in dict.fromkeys(keys) if key in WORKS]


def unknown_keys(texts: Sequence[str]) -> list[str]:
    """What texts cite by keys that no work has."""
    return [key for text in texts for mark in _MARK.findall(text) for key in _keys(mark) if key not in WORKS]


def with_citations(text: str, cite: Callable[[Sequence[Work]], str], plain: Callable[[str], str] = str) -> str:
    """A text whose marks `cite` has replaced, the blank before them included; the rest goes through `plain`.

    A mark with a key that no work has is a part of the rest.
    """
    parts, end = [], 0
    for mark in _MARK.finditer(text):
        keys = _keys(mark[1])
        if all(key in WORKS for key in keys):
            parts += [plain(text[end : mark.start()]), cite([WORKS[key] for key in keys])]
            end = mark.end()
    return "".join([*parts, plain(text[end:])])


def in_words(works: Sequence[Work]) -> str:
    """` (Karras et al., 2019; Zhang et al., 2018)`."""
    return f" ({'; '.join(work.short for work in works)})"


def bibliography(works: Sequence[Work]) -> str:
    """A .bib file."""
    return "\n".join(work.bibtex for work in works)


def _keys(mark: str) -> list[str]:
    return [key.strip(" @") for key in mark.split(",")]
