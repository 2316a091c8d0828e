"""Train a small classifier on the handwritten digits that scikit-learn ships: real data, two seconds, no network.

gitrun record -- python train.py --epochs 20 --lr 0.1
"""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="digits, a linear classifier, stochastic gradient descent")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--alpha", type=float, default=1e-4, help="weight of the L2 penalty")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="directory for model.pkl and scores.json")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16.0, labels, test_size=0.25, random_state=args.seed, stratify=labels
    )
    model = SGDClassifier(
        loss="log_loss", alpha=args.alpha, learning_rate="constant", eta0=args.lr, random_state=args.seed
    )
    order = np.random.default_rng(args.seed)
    scores = []
    for epoch in range(args.epochs):
        shuffled = order.permutation(len(train_x))
        model.partial_fit(train_x[shuffled], train_y[shuffled], classes=np.arange(10))
        probabilities = model.predict_proba(test_x)
        loss = float(log_loss(test_y, probabilities))
        accuracy = float(accuracy_score(test_y, probabilities.argmax(axis=1)))
        scores.append({"epoch": epoch, "loss": loss, "accuracy": accuracy})
        print(f"epoch {epoch:2d}  loss {loss:.4f}  accuracy {accuracy:.4f}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    (args.out / "model.pkl").write_bytes(pickle.dumps(model))


if __name__ == "__main__":
    main()
