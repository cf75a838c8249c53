"""`pyslsac bench tanh_normal`, kept in bench/results/<device>.json."""

from _timing import main

if __name__ == "__main__":
    main("tanh_normal")
