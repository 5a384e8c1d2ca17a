#!/usr/bin/env python3
"""Makes a man page and a bash completion of each program from what its --help prints.

usage: scripts/make_command_pages.py --output FOLDER PROGRAM...

The build calls it; `cmake --install` puts FOLDER/man1 and FOLDER/completions where man and bash look.
PROGRAM is a path. Where ssa-train is among them, its --config-reference gives the keys and values
behind --set and --vary. The source of both files is the help alone: edit that.
"""

import argparse
import dataclasses
import pathlib
import re
import subprocess

# What an option takes that its help names in prose only.
KNOWN_VALUES = {"--device": ["auto", "cpu", "cuda", "reference"], "--resume": ["auto", "none"]}
# Options that take key=value of the config.
CONFIG_OPTIONS = {"--set", "--vary"}
END_OF_OPTIONS = "Examples:"


@dataclasses.dataclass
class Entry:
    """An option, positional argument or subcommand: its line of the help."""

    head: str  # "-o,--output TEXT ... REQUIRED"
    text: str

    @property
    def names(self):
        return self.head.split()[0].split(",")

    @property
    def argument(self):
        """What stands behind the names: "TEXT ...", without choices and defaults."""
        words = self.head.removesuffix(" REQUIRED").split(maxsplit=1)[1:]
        return re.sub(r"[:=].*?(?= \.\.\.|$)", "", words[0]) if words else ""

    @property
    def is_required(self):
        return self.head.endswith(" REQUIRED")

    @property
    def values(self):
        choices = re.search(r":\{([^}]*)\}", self.head)
        if choices:
            return choices.group(1).split(",")
        return KNOWN_VALUES.get(self.names[-1], [])


@dataclasses.dataclass
class Help:
    """What --help of a program or subcommand says."""

    summary: str
    usage: str
    sections: list  # of (title, entries), in the order of the help
    examples: str

    def section(self, title):
        return [entry for name, entries in self.sections if name == title for entry in entries]

    def options(self):
        return [e for _, entries in self.sections for e in entries if e.head.startswith("-")]


def parse_help(text):
    """Reads the form in which CLI11 prints help."""
    before, _, examples = text.partition("\n" + END_OF_OPTIONS + "\n")
    lines = before.splitlines()
    usage_at = next(i for i, line in enumerate(lines) if line.startswith("Usage:"))
    summary = " ".join(line.strip() for line in lines[:usage_at] if line.strip())
    sections = []
    for line in lines[usage_at + 1:]:
        entry = re.fullmatch(r"  (\S.*?)(?:\s{2,}(\S.*))?", line)
        if re.fullmatch(r"\S.*:", line):
            sections.append((line[:-1], []))
        elif entry and sections:
            sections[-1][1].append(Entry(entry.group(1), entry.group(2) or ""))
        elif line.strip() and sections and sections[-1][1]:
            last = sections[-1][1][-1]
            last.text = f"{last.text} {line.strip()}".strip()
    usage = lines[usage_at].removeprefix("Usage:").strip()
    return Help(summary, usage, sections, examples.rstrip("\n"))


def parse_config_keys(reference):
    """{key: its values, or none} of `ssa-train --config-reference`."""
    keys = {}
    for key, kind in re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|", reference, re.MULTILINE):
        if kind.strip() == "true or false":
            keys[key] = ["true", "false"]
        else:
            keys[key] = re.findall(r"`([^`]+)`", kind) if kind.startswith("one of") else []
    return keys


COMPLETION = """# bash completion of {name}, made from what its --help prints.
{function}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} last=$((COMP_CWORD - 1)) key= option= words= i
  # bash makes "=" a word of its own.
  if [[ $cur == = ]]; then
    cur= key=${{COMP_WORDS[COMP_CWORD - 1]}}
  elif [[ ${{COMP_WORDS[last]}} == = ]]; then
    key=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  # The option that the word is a value of.
  if [[ $key == --* ]]; then
    option=$key key=
  elif [[ $cur != -* ]]; then
    for ((i = last; i > 0; --i)); do
      if [[ ${{COMP_WORDS[i]}} == -* ]]; then option=${{COMP_WORDS[i]}}; break; fi
    done
    case $option in
      {config_options}) ;;  # takes several words
      {flags}) option= ;;
      *) ((i == last)) || option= ;;
    esac
  fi
  if [[ -n $key ]]; then
    case $key in
{key_values}    esac
  elif [[ $option == @({config_options}) && -n $option ]]; then
    words='{keys}'
    compopt -o nospace
    mapfile -t COMPREPLY < <(compgen -S = -W "$words" -- "$cur")
    return
  elif [[ -n $option ]]; then
    case $option in
{option_values}    esac
  elif [[ $cur == -* ]]; then
    case ${{COMP_WORDS[1]}} in
{offered}    esac
  elif ((COMP_CWORD == 1)); then
    words='{subcommands}'
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -o bashdefault -o default -F {function} {name}
"""


def roff(text):
    """Text as roff takes it literally."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(r"\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


def roff_of_entry(entry):
    names = ", ".join(rf"\fB{roff(name)}\fR" for name in entry.names)
    argument = rf" \fI{roff(entry.argument)}\fR" if entry.argument else ""
    sentences = [entry.text + ("" if entry.text.endswith(".") else ".")] if entry.text else []
    if any(value not in entry.text for value in entry.values):
        sentences.append("One of " + ", ".join(entry.values) + ".")
    default = re.search(r"=(\S+)", entry.head)
    if default:
        sentences.append(f"Default: {default.group(1)}.")
    if entry.is_required:
        sentences.append("Required.")
    return f".TP\n{names}{argument}\n{roff(' '.join(sentences))}\n"


def roff_of_sections(sections, level):
    return "".join(f".{level} {title.upper() if level == 'SH' else title}\n"
                   + "".join(roff_of_entry(entry) for entry in entries)
                   for title, entries in sections)


def man_page(name, version, help_, subcommands, others):
    """The page of section 1. `subcommands`: {name: Help}."""
    page = f'.\\" Made from the output of {name} --help.\n'
    page += f'.TH {name.upper()} 1 "" "ssa {version}" "ssa"\n'
    page += f".SH NAME\n{roff(name)} \\- {roff(help_.summary[:1].lower() + help_.summary[1:])}\n"
    page += ".SH SYNOPSIS\n"
    for one in list(subcommands.values()) or [help_]:
        page += f".B {roff(one.usage)}\n.br\n"
    page += f".SH DESCRIPTION\n{roff(help_.summary)}.\n"
    page += roff_of_sections(help_.sections, "SH")
    for subcommand, one in subcommands.items():
        page += f".SH {name.upper()} {subcommand.upper()}\n{roff(one.summary)}.\n"
        page += roff_of_sections(one.sections, "SS")
    if help_.examples:
        page += f".SH EXAMPLES\n.nf\n{roff(help_.examples)}\n.fi\n"
    page += (".SH EXIT STATUS\n0: done. 2: the command line, config or memory. 3: data. 4: a checkpoint "
             "or run folder. 5: training\ndiverged. 6: another rank failed. 75: stopped by a signal, "
             "after saving. 1: an unexpected error.\n")
    page += ".SH SEE ALSO\n" + ", ".join(rf"\fB{roff(o)}\fR(1)" for o in others if o != name)
    return page + ".\nThe documentation is in the folder share/doc/ssa of the installation.\n"


def case(values_of):
    """The branches of a bash `case` that set `words`, for those that have some."""
    return "".join(f"      {pattern}) words='{' '.join(values)}' ;;\n"
                   for pattern, values in values_of.items() if values)


def values_by_option(options):
    return {"|".join(option.names): option.values for option in options if option.argument}


def flags_of(options):
    return "|".join(name for option in options if not option.argument for name in option.names)


def completion(name, help_, subcommands, keys):
    """A bash completion, for bash-completion or to be sourced."""
    options = {o.head: o for one in [help_, *subcommands.values()] for o in one.options()}.values()
    names = {one: " ".join(n for o in help_of.options() for n in o.names if n.startswith("--"))
             for one, help_of in [*subcommands.items(), ("*", help_)]}
    offered = "".join(f"      {one}) words='{words}' ;;\n" for one, words in names.items())
    of_keys = sorted(n for o in options for n in o.names if n in CONFIG_OPTIONS)
    keys = keys if of_keys else {}
    return COMPLETION.format(
        name=name, function="_" + name.replace("-", "_"), config_options="|".join(of_keys) or "''",
        flags=flags_of(options), key_values=case(keys), keys=" ".join(keys),
        option_values=case(values_by_option(options)), offered=offered,
        subcommands=" ".join(subcommands))


def output_of(program, *arguments):
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE,
                          encoding="utf-8", stdin=subprocess.DEVNULL).stdout


def version_of(program):
    """"0.1.0" of "ssa-train 0.1.0 (commit …"."""
    return output_of(program, "--version").split()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("programs", nargs="+", type=pathlib.Path, metavar="PROGRAM")
    arguments = parser.parse_args()
    programs = {path.name: path for path in arguments.programs}
    trainer = programs.get("ssa-train")
    keys = parse_config_keys(output_of(trainer, "--config-reference")) if trainer else {}
    pages, completions = arguments.output / "man1", arguments.output / "completions"
    pages.mkdir(parents=True, exist_ok=True)
    completions.mkdir(parents=True, exist_ok=True)
    for name, path in programs.items():
        help_ = parse_help(output_of(path, "--help"))
        subcommands = {entry.names[0]: parse_help(output_of(path, entry.names[0], "--help"))
                       for entry in help_.section("Subcommands")}
        page = man_page(name, version_of(path), help_, subcommands, programs)
        (pages / f"{name}.1").write_text(page, encoding="utf-8")
        (completions / name).write_text(completion(name, help_, subcommands, keys),
                                        encoding="utf-8")


if __name__ == "__main__":
    main()
