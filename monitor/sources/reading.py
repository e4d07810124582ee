"""What a decoder may know besides the bytes of its record."""

from msgspec import Struct


class Reading(Struct, frozen=True, kw_only=True):
    """Facts about the object being read and the options of its source.

    `modified_ms`: when the object was last written, in milliseconds since 1970; all the time a bare error body has.
    `count_without_response_id`: whether OTLP spans without `gen_ai.response.id` count (settings of the source).
    """

    modified_ms: int = 0
    count_without_response_id: bool = False
