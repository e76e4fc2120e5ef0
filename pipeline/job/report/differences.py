"""What a report says of the difference to the live generation."""

from __future__ import annotations

from html import escape

from pipeline.evaluate.difference import Difference


def section(found: Difference | None) -> str:
    """The section of the page, empty where nothing was compared."""
    if found is None:
        return ""
    chunks, others = found.chunks, len(found.queries) + found.others
    causes = "".join(f"; {escape(cause)}: {count:,}" for cause, count in found.causes.items())
    rows = "".join(
        f"<tr><td>{escape(query.text) if i == 0 else ''}</td><td>{escape(hit.doc_id)}</td>"
        f"<td class=n>{hit.before or '–'}</td><td class=n>{hit.after or '–'}</td>"
        f"<td class=why>{escape(', '.join(hit.causes))}</td></tr>"
        for query in found.queries
        for i, hit in enumerate(query.hits)
    )
    head = "<th>query</th><th>document</th><th class=n>rank before</th><th class=n>rank now</th><th>why</th>"
    return (
        f"<h2>What queries find now</h2><p>{chunks.added:,} chunks came, {chunks.deleted:,} went, "
        f"{chunks.changed:,} changed{'; the fusion was calibrated anew' if found.calibrated_anew else ''}. "
        f"Of {found.asked:,} queries {others:,} find other documents among their first ten{causes}.</p>"
        + (f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else "")
        + (
            f"<p>and {found.others:,} more queries: <code>pipeline diff</code> tells all.</p>"
            if found.others
            else ""
        )
    )
