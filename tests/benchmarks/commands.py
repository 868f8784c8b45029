"""What benchmarks are given, so that they end soon, and what they print."""

QUICK = ("--repeats", "1", "--seconds", "0.001")


def tables(text):
    """Return the Markdown tables in a text, each as dicts by column; each row has a cell for each column."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            head, rule, *body = rows
            assert set("".join(rule)) == {"-"}
            assert body, f"no rows below {head}"
            found.append([dict(zip(head, row, strict=True)) for row in [rule, *body]][1:])
            rows = []
    return found
