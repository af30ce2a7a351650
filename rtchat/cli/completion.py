"""`rtchat completion`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_RTCHAT_COMPLETE"  # by which the shell then asks; it begins with no RTCHAT_


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete rtchat's commands and options.

    For this shell alone: eval "$(rtchat completion bash)". For each that begins: put that line into
    ~/.bashrc; the same for zsh, in ~/.zshrc. For fish: rtchat completion fish >
    ~/.config/fish/completions/rtchat.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    made = found(context.find_root().command, {}, "rtchat", VARIABLE)
    click.echo(made.source_template % made.source_vars())  # not `source`: it starts a bash to ask
