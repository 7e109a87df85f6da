"""Wrong answers to the exercise of chapter 00, each with a word that its message must hold."""


def how_many_right(predicted, labels):
    return (predicted == labels).sum().item()


def error_rate(predicted, labels):
    return (predicted != labels).float().mean().item()


def per_cent(predicted, labels):
    return 100 * (predicted == labels).float().mean().item()


def as_tensor(predicted, labels):
    return (predicted == labels).float().mean()


def always_right(predicted, labels):
    return 1.0


WRONG = {
    "00.1": [(how_many_right, "divide"), (error_rate, "error rate"), (per_cent, "per cent"), (always_right, "not"),
             (as_tensor, "item")],
}
