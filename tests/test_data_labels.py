"""A user's own labels: CSV, TSV and Parquet files, matched to the images one to one."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.data import open_dataset
from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.decoding import Preparation
from latentlab.data.prepared import read_prepared
from latentlab.data.preparing import prepare
from latentlab.errors import DataError, UsageError

NAMES = ("a.png", "b.png", "c.png")


def folder(root: Path, names: tuple[str, ...] = NAMES) -> Path:
    for number, name in enumerate(names):
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
    return root / "images"


def table(root: Path, text: str, name: str = "labels.csv") -> Path:
    (root / name).write_bytes(text.encode())
    return root / name


def labels(root: Path, text: str, *, names: tuple[str, ...] = NAMES, name: str = "labels.csv") -> list[list[int]]:
    dataset = open_dataset(folder(root, names), resolution=8, labels=table(root, text, name))
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int8
    return dataset.labels.tolist()


def refused(root: Path, text: str, match: str, *, names: tuple[str, ...] = NAMES, name: str = "labels.csv") -> str:
    with pytest.raises(DataError, match=match) as caught:
        labels(root, text, names=names, name=name)
    return str(caught.value)


# ----------------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("one", "other"), [("1", "0"), ("1", "-1"), ("true", "false"), ("True", "FALSE"), ("1.0", "0.0")]
)
def test_every_form_of_two_values_is_read_in_the_images_order(tmp_path: Path, one: str, other: str) -> None:
    text = f"file,A,B\nc.png,{one},{one}\na.png,{other},{one}\nb.png,{one},{other}\n"
    assert labels(tmp_path, text) == [[-1, 1], [1, -1], [1, 1]]


def test_columns_may_have_different_forms_and_a_single_value(tmp_path: Path) -> None:
    text = "file,A,B,C,D\na.png,1,-1,true,0\nb.png,0,1,False,0\nc.png,1,1,false,0\n"
    assert labels(tmp_path, text) == [[1, -1, 1, -1], [-1, 1, -1, -1], [1, 1, -1, -1]]


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffile,A\na.png,1\nb.png,0\nc.png,1\n",
        "file,A\r\na.png,1\r\nb.png,0\r\nc.png,1\r\n",
        "file , A\na.png , 1\n\nb.png, 0\nc.png,1",
        '"file","A"\n"a.png","1"\n"b.png","0"\n"c.png","1"\n',
        "file\tA\na.png\t1\nb.png\t0\nc.png\t1\n",
    ],
    ids=["byte order mark", "CRLF", "spaces and a blank line", "quotes", "tabs"],
)
def test_text_files_are_read_as_programs_write_them(tmp_path: Path, text: str) -> None:
    name = "labels.TSV" if "\t" in text else "labels.csv"
    assert labels(tmp_path, text, name=name) == [[1], [-1], [1]]


def test_names_may_hold_commas_quotes_and_letters_of_any_language(tmp_path: Path) -> None:
    names = ("Zoë, smiling.png", 'the "first".png', "日本.png")
    text = """file,"Smiles, broadly"\n"the ""first"".png",1\n日本.png,0\n"Zoe\u0308, smiling.png",1\n"""
    dataset = open_dataset(folder(tmp_path, names), resolution=8, labels=table(tmp_path, text))
    assert dataset.attributes == ("Smiles, broadly",)
    by_red = {int(image[0, 0, 0]): row for image, row in zip(dataset.images(slice(None)), dataset.labels, strict=True)}
    assert by_red == {0: [1], 1: [1], 2: [-1]}


@pytest.mark.parametrize("column", ["file", "filename", "image", "image_id", "path", "Path"])
def test_the_column_of_files_may_stand_anywhere(tmp_path: Path, column: str) -> None:
    assert labels(tmp_path, f"A,{column}\n1,a.png\n0,b.png\n1,c.png\n") == [[1], [-1], [1]]


def test_a_first_column_of_text_is_that_of_files_whatever_its_name(tmp_path: Path) -> None:
    assert labels(tmp_path, "who,A\na.png,1\nb.png,0\nc.png,1\n") == [[1], [-1], [1]]
    assert labels(tmp_path, ",A\na.png,1\nb.png,0\nc.png,1\n") == [[1], [-1], [1]]
    refused(
        tmp_path, "who,A\n1,1\n2,0\n3,1\n", r"labels\.csv has no column that names the files: call it file, .*who, A"
    )
    refused(tmp_path, "A,B\ntrue,1\nfalse,1\ntrue,1\n", "no column that names the files")


@pytest.mark.parametrize("indexed", ["not", "named", "unnamed"])
def test_parquet_is_read_with_booleans_integers_and_floats(tmp_path: Path, indexed: str) -> None:
    columns = {"file": ["b", "c", "a"], "A": [True, False, True], "B": np.array([1, -1, -1], np.int8), "C": [0.0, 1, 1]}
    frame = pd.DataFrame(columns)
    if indexed != "not":
        frame = frame.set_index("file")
        frame.index.name = "file" if indexed == "named" else None
    frame.to_parquet(tmp_path / "labels.parquet")
    dataset = open_dataset(folder(tmp_path), resolution=8, labels=tmp_path / "labels.parquet")
    assert dataset.attributes == ("A", "B", "C")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [[1, -1, 1], [1, 1, -1], [-1, -1, 1]]


def test_parquet_may_hold_numbers_for_files_and_categories_for_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame({"file": [10, 9, 8], "A": pd.Categorical(["true", "false", "true"])})
    frame.to_parquet(tmp_path / "labels.parquet")
    images = folder(tmp_path, ("8.png", "9.png", "10.png"))
    dataset = open_dataset(images, resolution=8, labels=str(tmp_path / "labels.parquet"))
    assert dataset.labels is not None
    by_red = {int(image[0, 0, 0]): row for image, row in zip(dataset.images(slice(None)), dataset.labels, strict=True)}
    assert by_red == {0: [1], 1: [-1], 2: [1]}


# --------------------------------------------------------------------------------------------------- images and rows


NESTED = ("1.png", "x/1.png", "x/2.jpg", "y/1.png", "y/2.png", "z/3.webp")


@pytest.mark.parametrize(
    "rows",
    [
        ("1.png", "x/1.png", "x/2.jpg", "y/1.png", "y/2.png", "z/3.webp"),
        ("1", "x/1", "x/2", "y/1", "y/2", "z/3"),
        ("./1.png", "x\\1.png", "2.jpg", "y/1.jpeg", "2.png", "3"),
    ],
    ids=["paths", "no endings", "bare names, other endings and other spellings"],
)
def test_rows_name_paths_or_bare_names_with_or_without_ending(tmp_path: Path, rows: tuple[str, ...]) -> None:
    values = (1, 0, 0, 1, 1, 0)
    text = "file,A\n" + "".join(f"{row},{value}\n" for row, value in reversed([*zip(rows, values, strict=True)]))
    assert labels(tmp_path, text, names=NESTED) == [[1 if value else -1] for value in values]


def test_a_row_that_may_be_several_images_is_refused(tmp_path: Path) -> None:
    names = ("x/1.png", "y/1.png")
    refused(
        tmp_path, "file,A\n1.png,1\ny/1.png,0\n", r"line 2: 1\.png may be x/1\.png or y/1\.png\. Write", names=names
    )
    names = ("x/1.png", "x/1.jpg", "y/1.png")
    refused(tmp_path, "file,A\ny/1,1\nx/1,0\n", r"line 3: x/1 may be x/1\.jpg or x/1\.png", names=names)


def test_rows_without_an_image_and_images_without_a_row_are_named(tmp_path: Path) -> None:
    rows = "a.png,1\nb.png,1\nc.png,1\n" + "".join(f"{k}.png,0\n" for k in range(7))
    text = refused(tmp_path, f"file,A\n{rows}", r"name images that are not in .*images: 0\.png \(line 5\), 1\.png")
    assert "4.png (line 9) and 2 more" in text
    refused(
        tmp_path, "file,A\nq/a.png,1\n", r"not in .*: q/a\.png \(line 2\)\..*images there are a\.png, b\.png, c\.png"
    )
    refused(
        tmp_path, "file,A\nb.png,1\n", r"labels\.csv: no row for the images a\.png, c\.png of .*images\. Every image"
    )


@pytest.mark.parametrize("other", ["b.png", "b.jpg", "b", "./b.png"])
def test_two_rows_for_one_image_are_refused(tmp_path: Path, other: str) -> None:
    text = f"file,A\na.png,1\nb.png,1\nc.png,1\n{other},1\n"
    refused(tmp_path, text, r"b\.png has more than one row, b\.png \(line 3\) and .*b.* \(line 5\)\. Keep one")


def test_images_of_one_name_and_two_endings_each_need_their_row(tmp_path: Path) -> None:
    names = ("000001.jpg", "000001.png")
    assert labels(tmp_path, "file,A\n000001.png,1\n000001.jpg,0\n", names=names) == [[-1], [1]]
    refused(tmp_path, "file,A\n000001.png,1\n", r"no row for the images 000001\.jpg", names=names)


# ------------------------------------------------------------------------------------------------------- bad tables


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,A,Age\na.png,1,1\nb.png,0,37\nc.png,1,0\n",
            r"csv, line 3: Age of b\.png is '37'\. A column.*remove the col",
        ),
        (
            "file,A\na.png,yes\nb.png,no\nc.png,no\n",
            r"line 2: A of a\.png is 'yes'.*1 and 0, or 1 and -1, or true and fa",
        ),
        ("file,A\na.png,1\nb.png,0.5\nc.png,0\n", r"line 3: A of b\.png is '0\.5'"),
        (
            "file,A\na.png,1\nb.png,0\nc.png,-1\n",
            r"column A mixes '1' \(line 2\) and '0' \(line 3\) and '-1' \(line 4\)",
        ),
        ("file,A\na.png,1\nb.png,false\nc.png,1\n", r"column A mixes '1' \(line 2\) and 'false' \(line 3\)"),
        ("file,A\na.png,0\nb.png,-1\nc.png,0\n", r"column A mixes '0' .* and '-1'"),
        ("file,A\na.png,1\nb.png,\nc.png,0\n", r"line 3: A of b\.png has no value"),
        ("file,A\na.png,1\nb.png,NaN\nc.png,0\n", r"line 3: A of b\.png has no value"),
        (
            "file,A,B,C\na.png,1,x,y\nb.png,1,x,y\nc.png,1,1,1\n",
            r"B of a\.png is 'x'.*Columns C have a fault, too",
        ),
        ("file,A\n,1\nb.png,1\nc.png,1\n", r"line 2: no file is named in column 'file'"),
        ("file,A,A\na.png,1,1\nb.png,1,1\nc.png,1,1\n", r"csv: column 'A' occurs more than once"),
        ("file,image,A\na.png,a.png,1\n", r"the files may stand in column file or image\. Keep one"),
        (",file,A\n0,a.png,1\n1,b.png,0\n", r"a column has no name.*index=False"),
        ("file\na.png\nb.png\nc.png\n", r"has no column of labels beside 'file'"),
        ("file;A\na.png;1\nb.png;1\nc.png;1\n", r"has no column of labels.*semicolons\? Save it with commas"),
        ("file,A\n", r"labels\.csv has no rows"),
        ("", r"labels\.csv has no rows"),
        ("file,A\na.png,1\nb.png\n", r"line 3: 1 values for 2 columns"),
        ("file,A\na, b.png,1\n", r"line 2: 3 values for 2 columns\. Values with a comma .* double quotes"),
        ('file,A\n"a.png,1\n', r"labels\.csv, line \d: unexpected end of data"),
    ],
)
def test_tables_that_are_none_of_labels_are_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    refused(tmp_path, text, message)


def test_files_that_are_no_text_or_no_table_are_refused(tmp_path: Path) -> None:
    images = folder(tmp_path)
    (tmp_path / "labels.csv").write_bytes("file,Größe\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"labels\.csv is not UTF-8 text"):
        open_dataset(images, resolution=8, labels=tmp_path / "labels.csv")
    (tmp_path / "labels.parquet").write_bytes(b"file,A\na.png,1\n")
    with pytest.raises(DataError, match=r"labels\.parquet is damaged or not a Parquet file"):
        open_dataset(images, resolution=8, labels=tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        open_dataset(images, resolution=8, labels=tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match=r"labels\.xlsx: a file of labels must end in \.csv, \.tsv or \.parquet"):
        open_dataset(images, resolution=8, labels=tmp_path / "labels.xlsx")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None, 0], pa.int8()), r"row 2: A of b\.png has no value"),
        (pa.array([True, False, None]), r"row 3: A of c\.png has no value"),
        (pa.array([None, None, None]), r"row 1: A of a\.png has no value"),
        (pa.array([0.25, 1.0, 0.0]), r"row 1: A of a\.png is '0\.25'"),
        (pa.array([[1], [0], [1]]), r"column A holds neither text nor numbers nor true and false"),
    ],
)
def test_parquet_columns_that_are_none_of_labels_are_refused(tmp_path: Path, column: pa.Array, message: str) -> None:
    file = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"file": list(NAMES), "A": column}), file)
    with pytest.raises(DataError, match=message):
        open_dataset(folder(tmp_path), resolution=8, labels=file)


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = [pa.array(NAMES), pa.array([1, 0, 1]), pa.array([0, 0, 1])]
    pq.write_table(pa.Table.from_arrays(columns, names=["file", "A", "A"]), tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"column 'A' occurs more than once"):
        open_dataset(folder(tmp_path), resolution=8, labels=tmp_path / "labels.parquet")


# ------------------------------------------------------------------------------------- with all that can be opened


TEXT = "file,A\na.png,1\nb.png,0\nc.png,1\n"


def test_labels_follow_the_images_that_are_kept(tmp_path: Path) -> None:
    images, file = folder(tmp_path), table(tmp_path, TEXT)
    (images / "a.png").write_bytes(b"damaged")
    dataset = open_dataset(images, resolution=8, labels=file, skip_bad=True)
    assert dataset.skipped == ("a.png",)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [[-1], [1]]
    first = open_dataset(images, resolution=8, labels=file, skip_bad=True, num_images=2)
    assert first.labels is not None
    assert first.labels.tolist() == [[-1]]


def test_a_zip_file_takes_labels(tmp_path: Path) -> None:
    images = folder(tmp_path)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in NAMES:
            archive.write(images / name, f"deep/{name}")
    dataset = open_dataset(tmp_path / "set.zip", resolution=8, labels=table(tmp_path, TEXT))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [[1], [-1], [1]]


def test_a_prepared_file_carries_labels(tmp_path: Path) -> None:
    images, file, out = folder(tmp_path), table(tmp_path, TEXT), tmp_path / "out.h5"
    (images / "b.png").write_bytes(b"damaged")
    prepare(images, out, Preparation(8), labels=file, skip_bad=True)
    one, other = open_dataset(images, resolution=8, labels=file, skip_bad=True), open_dataset(out, resolution=8)
    assert other.attributes == ("A",)
    assert np.array_equal(one.labels, other.labels)
    assert one.describe() == other.describe()
    assert one.labels_sha256 == other.labels_sha256
    with pytest.raises(UsageError, match=r"out\.h5 has labels already\. Leave --labels out, or, .*prepare the images"):
        open_dataset(out, resolution=8, labels=file)


def test_a_prepared_file_without_labels_takes_them_by_the_names_it_was_made_from(tmp_path: Path) -> None:
    images, out = folder(tmp_path), tmp_path / "out.h5"
    (images / "b.png").write_bytes(b"damaged")
    prepare(images, out, Preparation(8), skip_bad=True)
    dataset = open_dataset(out, resolution=8, labels=table(tmp_path, "file,A\nc,0\nb,1\na,1\n"))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [[1], [-1]]
    assert open_dataset(out, resolution=8, labels=tmp_path / "labels.csv", num_images=1).labels.tolist() == [[1]]
    with pytest.raises(DataError, match=r"name images that are not in .*out\.h5: d\.png"):
        open_dataset(out, resolution=8, labels=table(tmp_path, TEXT + "d.png,1\n"))


def test_images_that_have_labels_take_no_others(tmp_path: Path) -> None:
    file = table(tmp_path, TEXT)
    with pytest.raises(UsageError, match=r"'faces' has labels already\. Leave --labels out\."):
        open_dataset("faces", resolution=16, num_images=3, labels=file)
    folder(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_text("3\nB\na.jpg 1\nb.jpg 1\nc.jpg 1\n")
    with pytest.raises(UsageError, match=r"has labels already.*move .*list_attr_celeba\.txt away"):
        open_dataset(tmp_path, resolution=8, labels=file)
    with pytest.raises(UsageError, match="has labels already"):
        prepare(tmp_path, tmp_path / "out.h5", Preparation(8), labels=file)
    assert not (tmp_path / "out.h5").exists()


def test_bad_labels_stop_a_preparation_before_it_writes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row for the images c"):
        prepare(folder(tmp_path), tmp_path / "o.h5", Preparation(8), labels=table(tmp_path, "file,A\na,1\nb,1\n"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images", "labels.csv"]


def test_the_digest_follows_names_and_values_and_nothing_else(tmp_path: Path) -> None:
    def digest(text: str, name: str = "labels.csv") -> str | None:
        return open_dataset(folder(tmp_path), resolution=8, labels=table(tmp_path, text, name)).labels_sha256

    whole = digest(TEXT)
    assert digest("A\tpath\nTrue\tc.png\nTrue\ta\nFalse\tb\n", "labels.tsv") == whole
    assert digest(TEXT.replace("b.png,0", "b.png,1")) != whole
    assert digest(TEXT.replace("A", "B")) != whole
    assert open_dataset(tmp_path / "images", resolution=8).labels_sha256 is None


# ------------------------------------------------------------------------------------------------- the command line


def ran(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_prepare_and_show_take_labels_on_the_command_line(tmp_path: Path) -> None:
    images, file, out = folder(tmp_path), table(tmp_path, TEXT), tmp_path / "out.h5"
    assert ran("data", "prepare", images, "--labels", file, "--out", out, "--resolution", 8)[0] == 0
    assert read_prepared(out).attributes == ("A",)
    code, printed, _ = ran("data", "show", images, "--labels", file, "--json")
    facts = json.loads(printed)
    assert code == 0
    assert facts == {
        "name": "images",
        "num_images": 3,
        "sizes": {"8x8": 3},
        "unreadable": [],
        "label_files": [str(file)],
        "labels_sha256": open_dataset(out, resolution=8).labels_sha256,
        "attributes": [{"name": "A", "positives": 2, "share": 2 / 3}],
        "first": [
            {"file": "a.png", "attributes": ["A"]},
            {"file": "b.png", "attributes": []},
            {"file": "c.png", "attributes": ["A"]},
        ],
    }
    of_prepared = json.loads(ran("data", "show", out, "--json")[1])
    assert of_prepared == {**facts, "label_files": [str(out)]}
    code, _, error = ran("data", "show", out, "--labels", file)
    assert (code, "has labels already" in error) == (2, True)


def test_show_prints_sizes_shares_and_what_cannot_be_read(tmp_path: Path) -> None:
    images, file = folder(tmp_path), table(tmp_path, TEXT)
    Image.new("RGB", (20, 10)).save(images / "b.png")
    (images / "c.png").write_bytes(b"damaged")
    code, printed, _ = ran("data", "show", images, "--labels", file)
    assert code == 0
    for line in (
        "num_images:         3",
        "8x8 (1), 20x10 (1)",
        "unreadable:         1 c.png",
        "0.667",
        "b.png: no attri",
    ):
        assert line in printed
    assert "no labels; --labels FILE" in ran("data", "show", images)[1]


def test_show_tells_the_shares_of_the_embedded_faces_without_drawing_any() -> None:
    code, printed, _ = ran("data", "show", "faces", "--json")
    facts = json.loads(printed)
    assert (code, facts["num_images"], len(facts["attributes"])) == (0, 30_000, 40)
    few = open_dataset("faces", resolution=16, num_images=3)
    shown = [[name for name, value in zip(few.attributes, row, strict=True) if value > 0] for row in few.labels]
    assert [image["attributes"] for image in facts["first"]] == shown


def test_classifiers_are_trained_on_labels_from_a_file(tmp_path: Path) -> None:
    names = tuple(f"{number:02d}.png" for number in range(20))
    values = np.random.default_rng(0).integers(0, 2, (20, 40))
    file = tmp_path / "labels.parquet"
    pd.DataFrame(values, columns=list(CELEBA_ATTRIBUTES)).assign(file=names).to_parquet(file)
    images, out = folder(tmp_path, names), tmp_path / "classifiers"
    options = ("--resolution", 8, "--images-shown", 32, "--device", "cpu", "--out", out)
    code, _, error = ran("classifiers", "train", "--data", images, "--labels", file, *options)
    assert code == 0, error
    dataset = json.loads((out / "config.json").read_text())["dataset"]
    assert dataset["labels_sha256"] == open_dataset(images, resolution=8, labels=file).labels_sha256
