"""`pyslsac bench reverse_chain`, kept in bench/results/<device>.json."""

from _timing import main

if __name__ == "__main__":
    main("reverse_chain")
