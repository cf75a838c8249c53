"""`pyslsac bench implicit_quantiles`, kept in bench/results/<device>.json."""

from _timing import main

if __name__ == "__main__":
    main("implicit_quantiles")
