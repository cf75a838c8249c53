"""`pyslsac bench philox_integers`, kept in bench/results/<device>.json."""

from _timing import main

if __name__ == "__main__":
    main("philox_integers")
