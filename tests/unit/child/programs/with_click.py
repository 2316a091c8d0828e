import click


@click.group()
@click.option("--verbose/--quiet", default=False)
@click.option("--seed", type=int, default=1, envvar="SEED")
def cli(verbose, seed):
    click.echo(f"group {verbose} {seed}")


@cli.command()
@click.argument("data")
@click.option("--lr", "-l", default=0.1)
@click.option("--size", type=(int, int), default=(1, 2))
@click.option("--mode", type=click.Choice(["a", "b"]), default="a")
@click.option("--login", prompt=True, hide_input=True, default="nobody")
def fit(data, lr, size, mode, login):
    if lr < 0:
        raise ValueError("a negative rate")
    click.echo(f"fit {data} {lr} {size} {mode} {len(login)}")


if __name__ == "__main__":
    cli()
