#!/usr/bin/env python3
"""Tests of make_command_pages.py: help as CLI11 prints it, man's and bash's own view of the results."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

import make_command_pages as pages

HELP = """Score a model: renorm
or ensemble
Usage: ssa-eval [OPTIONS]

Options:
  -h,--help                   Print this help message and exit
  --mode TEXT:{renorm,ensemble}=renorm
                              How to score.
                              It matters
  --set TEXT ...              key=value …: override keys of the config
  --device TEXT=auto          auto, cpu, cuda or reference
  --run TEXT REQUIRED         .hidden run folder
  --curve                     Print the score for 1, 2, … samples

Examples:
  ssa-eval --run a
      --curve
"""
SUBCOMMANDS = """Prepare data
Usage: ssa-data [OPTIONS] SUBCOMMAND

Options:
  -h,--help                   Print this help message and exit

Subcommands:
  prepare                     Make a folder
  list                        List them
"""
PREPARE = """Make a folder
Usage: ssa-data prepare [OPTIONS] NAME

Positionals:
  NAME TEXT REQUIRED          What

Options:
  --split TEXT:{train,valid}  Which
  --json                      As JSON

For `imagenet`:
  --workers INT               Threads
"""
REFERENCE = """| Key | Type | Default |
|---|---|---|
| `model.activation` | one of `gelu`, `relu` | `gelu` |
| `model.layers` | whole number | `16` |
| `train.overlap` | true or false | `true` |
| `train.augment` | list of `a`, `b` | |
"""


class ParsingHelp(unittest.TestCase):
    def test_options_have_names_arguments_values_and_texts(self):
        help_ = pages.parse_help(HELP)
        self.assertEqual(help_.summary, "Score a model: renorm or ensemble")
        self.assertEqual(help_.usage, "ssa-eval [OPTIONS]")
        self.assertEqual([(o.names, o.argument, o.values, o.is_required) for o in help_.options()],
                         [(["-h", "--help"], "", [], False),
                          (["--mode"], "TEXT", ["renorm", "ensemble"], False),
                          (["--set"], "TEXT ...", [], False),
                          (["--device"], "TEXT", ["auto", "cpu", "cuda", "reference"], False),
                          (["--run"], "TEXT", [], True),
                          (["--curve"], "", [], False)])
        self.assertEqual(help_.options()[1].text, "How to score. It matters")
        self.assertEqual(help_.examples, "  ssa-eval --run a\n      --curve")

    def test_sections_keep_their_titles(self):
        help_ = pages.parse_help(PREPARE)
        self.assertEqual([title for title, _ in help_.sections],
                         ["Positionals", "Options", "For `imagenet`"])
        self.assertEqual([o.names for o in help_.options()],
                         [["--split"], ["--json"], ["--workers"]])

    def test_keys_of_a_config_have_the_values_that_their_type_lists(self):
        self.assertEqual(pages.parse_config_keys(REFERENCE),
                         {"model.activation": ["gelu", "relu"], "model.layers": [],
                          "train.overlap": ["true", "false"], "train.augment": []})


class ManPages(unittest.TestCase):
    def page(self):
        return pages.man_page("ssa-eval", "1.2", pages.parse_help(HELP), {}, ["ssa-eval", "ssa-data"])

    def test_a_page_has_what_the_help_says(self):
        page = self.page()
        self.assertIn("ssa\\-eval \\- score a model: renorm or ensemble\n", page)
        self.assertIn(".TP\n\\fB\\-\\-mode\\fR \\fITEXT\\fR\nHow to score. It matters. One of renorm, "
                      "ensemble. Default: renorm.\n", page)
        self.assertIn("\n\\&.hidden run folder. Required.\n", page)  # else roff takes it for a macro
        self.assertIn(".nf\n  ssa\\-eval \\-\\-run a\n", page)

    @unittest.skipUnless(shutil.which("man"), "needs man")
    def test_man_has_no_complaint(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "ssa-eval.1"
            path.write_text(self.page(), encoding="utf-8")
            shown = subprocess.run(["man", "--warnings", "-l", str(path)], capture_output=True,
                                   check=True, text=True)
        self.assertEqual(shown.stderr, "")
        self.assertIn("--curve", shown.stdout)


class Completion(unittest.TestCase):
    def completed(self, script, *words):
        """What the last word becomes. bash has split the others at "="."""
        name = words[0].replace("-", "_")
        program = (f'compopt() {{ :; }}\n{script}\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n'
                   f'_{name}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n')
        shown = subprocess.run(["bash", "-c", program, "bash", *words], capture_output=True,
                               check=True, text=True)
        self.assertEqual(shown.stderr, "")
        return shown.stdout.split()

    def test_options_values_and_keys(self):
        script = pages.completion("ssa-eval", pages.parse_help(HELP), {},
                                  pages.parse_config_keys(REFERENCE))
        for words, expected in [
                (["--mo"], ["--mode"]),
                (["--mode", "r"], ["renorm"]),
                (["--mode", "=", "e"], ["ensemble"]),
                (["--mode", "="], ["renorm", "ensemble"]),
                (["--mode", "renorm", "--c"], ["--curve"]),
                (["--curve", ""], []),
                (["--set", "model."], ["model.activation=", "model.layers="]),
                (["--set", "model.layers", "=", "3", "tr"], ["train.overlap=", "train.augment="]),
                (["--set", "model.activation", "=", "g"], ["gelu"]),
                (["--set", "train.overlap", "="], ["true", "false"]),
                (["--run", ""], [])]:
            with self.subTest(words=words):
                self.assertEqual(self.completed(script, "ssa-eval", *words), expected)

    def test_subcommands_have_their_own_options(self):
        script = pages.completion("ssa-data", pages.parse_help(SUBCOMMANDS),
                                  {"prepare": pages.parse_help(PREPARE),
                                   "list": pages.parse_help(SUBCOMMANDS)}, {"unused": []})
        self.assertNotIn("unused", script)
        for words, expected in [
                ([""], ["prepare", "list"]),
                (["p"], ["prepare"]),
                (["--"], ["--help"]),
                (["prepare", "--"], ["--split", "--json", "--workers"]),
                (["prepare", "--split", "t"], ["train"]),
                (["list", "--s"], [])]:
            with self.subTest(words=words):
                self.assertEqual(self.completed(script, "ssa-data", *words), expected)


if __name__ == "__main__":
    unittest.main()
