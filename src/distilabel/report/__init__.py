"""A report: one HTML file about a data set or a run, to be read in a browser without a network.

::

    from distilabel.report import write_report

    write_report(dataset, "report.html")
    write_report("distilabel-runs/writer-judge-0a1b2c3d-1", "report.html")

Rules:

- Figures know no HTML, and the page computes no figure: `reading` gives rows and calls, `figures`
  counts them, `embedding` makes the rows small, `sections`, `over_time` and `charts` draw, `page`
  puts the file together, `writing` writes it whole or not at all.
- What rows hold is untrusted. In HTML it is escaped; in the data block nothing can end the block;
  in the browser it is text, never HTML. The policy allows our own style and script alone.
- What is not known is not shown, and its section says what is missing.

All of this blocks; in async code, call it in a thread.
"""

from distilabel.report.writing import Written, write_report

__all__ = ["Written", "write_report"]
