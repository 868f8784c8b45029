"""Hands mutated files to the commands, under limits, and checks that none does harm: ``nox -s hostile``.

A case is a group and a number. The group names the file that is mutated, the number (with the seed) how. `cases` makes
it in a folder of its own, `child` runs a command there under limits, `rule` judges what came of it.
"""
