"""The log formats, one file each, found by their presence.

A format is a module with
  NAME       what settings and the command line call it
  AUTHORITY  how far it is believed when several sources saw the same request (lowest wins)
  FRAMING    "lines": every line is one record; "document": a file may also be one JSON body or one SSE transcript
  recognises(record)  whether a decoded JSON object is of this format; asked by `auto` in the order of PRECEDENCE
  decode(record, read) -> Outcome or a list of them: the bytes of one record; pure, and it never raises on bad input
"""
