from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 0.1, "the rate", lower_bound=0)
flags.DEFINE_bool("verbose", False, "more words")
flags.DEFINE_list("layers", ["1", "2"], "sizes")
flags.DEFINE_enum("mode", "a", ["a", "b"], "how")


def main(argv):
    print(argv[1:], FLAGS.lr, FLAGS.verbose, FLAGS.layers, FLAGS.mode)
    if FLAGS.lr > 9:
        raise ValueError("a large rate")


if __name__ == "__main__":
    app.run(main)
