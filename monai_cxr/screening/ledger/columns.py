"""Columns: what the tables of the ledger are made of, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Text, text

metadata = MetaData()


ID_TYPE = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER numbers its rows on SQLite


def row_id() -> Column[int]:
    """The number of a row."""
    return Column("id", ID_TYPE, primary_key=True, autoincrement=True)


def text_column(name: str, *, index: bool = False) -> Column[str]:
    """A text, empty where nothing is known."""
    return Column(name, Text, nullable=False, server_default="", index=index)


def count_column(name: str) -> Column[int]:
    """A count from 0."""
    return Column(name, Integer, nullable=False, server_default="0")


def time_column(name: str, *, nullable: bool = True) -> Column[float]:
    """A time in seconds since 1970, UTC."""
    return Column(name, Double, nullable=nullable)


def partial_index(name: str, column: str, condition: str) -> Index:
    """An index of the rows that a condition holds for."""
    return Index(name, column, sqlite_where=text(condition), postgresql_where=text(condition))
