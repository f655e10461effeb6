"""`palaver secret …`: the secret that seals the keys of connections to model servers."""

import typer

from palaver.cli.options import Ask, asking

secret = typer.Typer(
    help="Look after the secret that seals the keys of connections.", no_args_is_help=True
)


@secret.callback()
def group() -> None:
    """Look after the secret that seals the keys of connections."""


@secret.command(epilog="Example: palaver secret rotate")
@asking
def rotate(ask: Ask) -> None:
    """Seal all keys with a new secret, and forget the one before. Also while the server runs."""
    ask.tell(lambda done: [f"Sealed anew: {done['sealed']}."], "secret.rotate")
