"""How the full screen of `hostler top` looks, in the words of what draws it: the terminal's own colours, few lines."""

CSS = """
Screen { background: transparent; }
#head, #foot { height: 1; width: 100%; }
#foot { color: ansi_bright_black; padding: 0 1; }
#body { height: 1fr; }
#list { height: 1fr; }
#peek { height: 55%; border-top: solid ansi_bright_black; padding: 0 1; }
#filter { height: 1; border: none; padding: 0 1; background: transparent; }
#filter:focus { border: none; }

Answer, Say, Confirm, Help, Link { align: center middle; background: transparent; }
.card {
    width: 80%; max-width: 90; height: auto; max-height: 90%;
    border: round ansi_cyan; padding: 1 2; background: ansi_default;
}
.card > Static { height: auto; width: 100%; }
.card > .quiet { color: ansi_bright_black; margin-top: 1; }
.card > OptionList { height: auto; max-height: 12; border: none; background: transparent; margin-top: 1; padding: 0; }
.card > Input { border: none; height: 1; margin-top: 1; padding: 0; background: transparent; }
.card > Input:focus { border: none; }
"""
