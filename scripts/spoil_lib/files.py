"""Spoiled texts, tables and bytes: what no container explains."""

from __future__ import annotations

from scripts.spoil_lib.case import BIT, DIFFERS, SEMANTIC, TOLERANCE, Case, one
from scripts.spoil_lib.making import parquet, png

_CSV = b"step,loss,name\n0,1.5,a\n1,0.25,b\n"
_JSON = b'{"acc": 0.5, "epochs": 3, "best": [1.0, 2.0], "ok": true, "run": "x"}\n'
_TABLE = {"loss": [1.5, 0.25, 0.125], "step": [0, 1, 2]}
_DATE = b"trained at 2026-11-24 06:12:46\n"
_LATER = b"trained at 2026-11-25 07:00:00\n"
_BLOCK = bytes(range(256)) * 40
_FLIPPED = _BLOCK[:5000] + bytes([_BLOCK[5000] ^ 1]) + _BLOCK[5001:]
STAMPS = "only times, durations or ids differ"
ORDER = "the same words in another order"


def _bytes() -> list[Case]:
    return [
        one("files", "a word of a text", "a.txt", b"loss is low\n", b"loss is high\n", DIFFERS, told="line 1"),
        one("files", "the line ends of a text", "a.txt", b"a\nb\n", b"a\r\nb\r\n", DIFFERS),
        one("files", "one more line", "a.txt", b"a\n", b"a\nb\n", DIFFERS),
        one("files", "the last line end is gone", "a.txt", b"a\n", b"a", DIFFERS),
        one("files", "a letter that looks the same (U+00E9, U+0065 U+0301)", "a.txt",
            "é\n".encode(), "e\u0301\n".encode(), DIFFERS),
        one("files", "empty instead of one line", "a.txt", b"\n", b"", DIFFERS),
        one("files", "one bit of 10,240 bytes", "a.bin", _BLOCK, _FLIPPED, DIFFERS, told="5000"),
        one("files", "the last byte is gone", "a.bin", _BLOCK, _BLOCK[:-1], DIFFERS),
        one("files", "one byte more", "a.bin", _BLOCK, _BLOCK + b"\0", DIFFERS),
        one("files", "only a date in a text", "a.txt", _DATE, _LATER, DIFFERS, STAMPS),
        one("files", "a date and a word in a text", "a.txt", _DATE, _LATER.replace(b"trained", b"stopped"), DIFFERS),
        one("files", "a duration in JSON", "a.json", b'{"took": "12 s"}', b'{"took": "13 s"}', DIFFERS, STAMPS),
        one("files", "the same words in another order", "a.txt", b"{alpha, beta}\n", b"{beta, alpha}\n", DIFFERS),
        one("files", "the text of a log, which informs", "a.log", b"done 1\n", b"done 2\n", BIT,
            told="the text of a log, which differs"),
        one("files", "the text of a log, and --strict-console", "a.log", b"done 1\n", b"done 2\n", DIFFERS,
            options=("--strict-console",)),
        one("files", "a picture's pixel", "a.png", png(pixel=7), png(pixel=8), DIFFERS, told="pixels"),
        one("files", "a picture's software text", "a.png", png(b"one"), png(b"other"), SEMANTIC),
        one("files", "a picture's title", "a.png", png(b"one", b"Title"), png(b"other", b"Title"), DIFFERS),
        one("files", "a picture's compression", "a.png", png(level=9), png(level=0), SEMANTIC),
    ]  # fmt: skip


def _tables() -> list[Case]:
    def csv(name: str, now: bytes, verdict: str, **more: object) -> Case:
        return one("tables", f"csv: {name}", "a.csv", _CSV, now, verdict, **more)

    def json(name: str, now: bytes, verdict: str, **more: object) -> Case:
        return one("tables", f"json: {name}", "a.json", _JSON, now, verdict, **more)

    return [
        csv("a last digit", _CSV.replace(b"0.25", b"0.2500001"), TOLERANCE, told="max |Δ|"),
        csv("a last digit, and --rtol 0 --atol 0", _CSV.replace(b"0.25", b"0.2500001"), DIFFERS,
            options=("--rtol", "0", "--atol", "0")),
        csv("a last digit, and --accept tolerance", _CSV.replace(b"0.25", b"0.2500001"), TOLERANCE, exit=0,
            options=("--accept", "tolerance")),
        csv("a digit outside the tolerance", _CSV.replace(b"0.25", b"0.2501"), DIFFERS, told="line 3"),
        csv("the same, and --rtol 1e-3", _CSV.replace(b"0.25", b"0.2501"), TOLERANCE, options=("--rtol", "1e-3")),
        csv("an integer", _CSV.replace(b"1,0.25", b"2,0.25"), DIFFERS),
        csv("a number written in another way", _CSV.replace(b"0.25", b"0.250"), DIFFERS),
        csv("a value is nan", _CSV.replace(b"0.25", b"nan"), DIFFERS),
        csv("a value is missing", _CSV.replace(b"0.25", b""), DIFFERS),
        csv("two rows in another order", b"step,loss,name\n1,0.25,b\n0,1.5,a\n", DIFFERS),
        csv("one row more", _CSV + b"2,0.1,c\n", DIFFERS, told="ends after line 3"),
        csv("a column of another name", _CSV.replace(b"loss", b"cost"), DIFFERS),
        csv("a text in quotes", _CSV.replace(b",a\n", b',"a"\n'), DIFFERS),
        json("a last digit", _JSON.replace(b"0.5", b"0.5000001"), TOLERANCE),
        json("another number", _JSON.replace(b"0.5", b"0.51"), DIFFERS),
        json("another count", _JSON.replace(b"3", b"4"), DIFFERS),
        json("keys in another order", b'{"epochs": 3, "acc": 0.5, "best": [1.0, 2.0], "ok": true, "run": "x"}\n',
             DIFFERS),
        json("a list in another order", _JSON.replace(b"[1.0, 2.0]", b"[2.0, 1.0]"), DIFFERS),
        json("a key is missing", _JSON.replace(b'"acc": 0.5, ', b""), DIFFERS),
        json("true is 1", _JSON.replace(b"true", b"1"), DIFFERS),
        json("a number is a text", _JSON.replace(b"0.5", b'"0.5"'), DIFFERS),
        one("tables", "jsonl: one line is missing", "a.jsonl", b'{"loss": 1.5}\n{"loss": 0.5}\n', b'{"loss": 1.5}\n',
            DIFFERS),
        one("tables", "numbers in a .txt: a last digit", "a.txt", b"1.5 0.25\n", b"1.5 0.2500001\n", TOLERANCE),
    ]  # fmt: skip


def _parquet() -> list[Case]:
    def table(name: str, now: bytes, verdict: str, **more: object) -> Case:
        return one("tables", f"parquet: {name}", "a.parquet", parquet(_TABLE), now, verdict, **more)

    return [
        table("words of the writer", parquet(_TABLE, {"made": "today"}), SEMANTIC, told="the same table"),
        table("compression", parquet(_TABLE, compression="zstd"), SEMANTIC),
        table("a last place", parquet({**_TABLE, "loss": [1.5, 0.25, 0.12500000000000003]}), TOLERANCE),
        table("a value", parquet({**_TABLE, "loss": [1.5, 0.25, 0.126]}), DIFFERS),
        table("an integer", parquet({**_TABLE, "step": [0, 1, 3]}), DIFFERS),
        table("a value is null", parquet({**_TABLE, "loss": [1.5, 0.25, None]}), DIFFERS),
        table("null is NaN", parquet({**_TABLE, "loss": [1.5, 0.25, float("nan")]}), DIFFERS),
        table("a row less", parquet({"loss": [1.5, 0.25], "step": [0, 1]}), DIFFERS, told="rows"),
        table("rows in another order", parquet({"loss": [0.25, 1.5, 0.125], "step": [1, 0, 2]}), DIFFERS),
        table("a column of another name", parquet({"cost": _TABLE["loss"], "step": _TABLE["step"]}), DIFFERS),
        table("integers are floats", parquet({**_TABLE, "step": [0.0, 1.0, 2.0]}), DIFFERS),
    ]


CASES = [*_bytes(), *_tables(), *_parquet()]
