"""The values of tables as JSON has them: dates as texts, decimal numbers as numbers."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal


def as_plain(value: object) -> object:
    """The value itself, or what stands for it in JSON: an ISO text for a date or a time, seconds for a duration, a
    number for a decimal one (its text where no float is so exact). Bytes stay, since nothing stands for them."""
    if isinstance(value, dict):
        return {str(key): as_plain(held) for key, held in value.items()}
    if isinstance(value, list):
        return [as_plain(held) for held in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _number(value) if isinstance(value, Decimal) else value


def _number(value: Decimal) -> int | float | str:
    if value.is_finite() and value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
