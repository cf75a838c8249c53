"""`pyslsac bench estep_dual`, kept in bench/results/<device>.json."""

from _timing import main

if __name__ == "__main__":
    main("estep_dual")
