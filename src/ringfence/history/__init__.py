"""The history: flows on disk, in segments that a kill cannot harm, and read back as the same events and names.

A segment is open while it grows (`frames`), then sealed as one parquet file (`table`, `sealing`). `recorder` writes,
`archive` reads, `database` answers SQL. pyarrow and duckdb come with the extra `ringfence[flows]`; `segments`, which
lists what is there, needs neither.
"""
