import fire


class Trainer:
    def __init__(self, lr=0.1, verbose=False):
        if lr == "boom":
            raise ValueError("no such rate")
        self.lr, self.verbose = lr, verbose

    def fit(self, data, *more, epochs=3, **options):
        print("fit", self.lr, self.verbose, data, more, epochs, options)


if __name__ == "__main__":
    fire.Fire(Trainer)
