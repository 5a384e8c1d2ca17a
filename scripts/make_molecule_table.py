#!/usr/bin/env python3
"""Writes the features of molecules that OGB computes, which the C++ tests match.

    python3.11 -m venv env
    env/bin/pip install 'rdkit==2022.9.5' 'numpy<2' pandas
    env/bin/pip install --no-deps 'ogb==1.3.6'      # without PyTorch, which this does not need
    env/bin/python scripts/make_molecule_table.py FOLDER

writes tests/fixtures/molecules/ogb.json. FOLDER holds pcqm4mv2_first1999.csv.gz and qm9_gap.csv.gz.
Of these it has a CRC-32 for each 16 molecules, of the bytes

    atoms, bonds, the nine features of each atom, and for each bond: its atoms, the one with the
    lower number first, and its three features

one molecule behind the other, a byte a number. Of the SMILES below it has the features themselves.

    env/bin/python scripts/make_molecule_table.py FOLDER --compare

writes nothing, and names the molecules for which this version of RDKit gives other features.
"""

import argparse
import csv
import gzip
import json
import pathlib
import sys
import zlib

import rdkit
from ogb.utils.mol import smiles2graph
from ogb.version import __version__ as ogb_version
from rdkit import RDLogger

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/molecules/ogb.json"
TABLES = ("pcqm4mv2_first1999", "qm9_gap")
BLOCK = 16

SMILES = [
    # One atom, no bonds, parts that are not connected, a chain.
    "C", "[He]", "[Na+].[Cl-]", "O.O.O", "CCO", "CCCCCCCCCCCCCCCCCCCC", "C1CCCCC1.CC",
    # Hydrogens that stay: isotopes, H2, a lone proton, one on a double bond of nitrogen.
    "[2H]C([2H])([2H])O", "[H][H]", "[H+]", "[H]/N=C/C", "[H]O[H]",
    # Atoms without a number of their own, radicals, charges, isotopes.
    "*", "*C(*)C", "[CH3]", "[CH2]", "[O][O]", "[C]", "[N+](=O)([O-])C", "[Fe+6]", "[13CH4]",
    "[Cu-6]", "[Og]",
    # Chirality and stereo of double bonds.
    "N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O", "C/C=C/C", "C/C=C\\C", "F/C(Cl)=C(F)\\Cl", "CC=CC",
    "F[Pt@SP1](F)(Cl)Cl", "C[S@](=O)CC", "OC(Cl)=[C@]=C(C)F", "C/C=C/C=C\\C",
    # Aromatic rings, fused, charged, with each element that may be in one.
    "c1ccccc1", "c1ccc2ccccc2c1", "c1cc[nH]c1", "c1ccoc1", "c1ccsc1", "c1ccncc1", "c1cc[n+](C)cc1",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "[O-]c1ccccc1", "c1ccc2[nH]ccc2c1", "c1cc[se]c1", "b1ccccc1",
    "c1ccc(cc1)-c1ccccc1", "C1=CC=C1", "[cH-]1cccc1", "C1=CC=CC=CC=C1", "c1cc2ccc3cccc4ccc(c1)c2c34",
    # Every type of bond and hybridization.
    "C#N", "C=C=C", "[C-]#[O+]", "CN=[N+]=[N-]", "F[S](F)(F)(F)(F)F", "FP(F)(F)(F)F", "O=S(=O)(O)O",
    "[NH3]->[Fe]", "C$C", "ClI(Cl)Cl", "O=[Xe](=O)=O", "[Cl-].[NH4+]",
    # Cages, bridges and spiro atoms.
    "C1CC2CCC1C2", "C12C3C4C1C5C2C3C45", "C1CCC2(C1)CCCC2", "C123C45C61C24C356", "C1C2CC3CC1CC(C2)C3",
    # Rows of PCQM4Mv2 that RDKit refuses since 2024.09 (ogb#510).
    "O[Si]123O[Si]3(O1)(O2)O", "C1[SiH2]2[SiH2]1C2", "Cl[SiH]12C[SiH2]2C1", "Cl[SiH]12C[SiH]2(C1)Cl",
    "c1ccc(cc1)[SiH]12C[SiH]2(C1)c1ccccc1", "C[Si]1234C[Si]564C42[Si]23(C1)[Si]54(C2)(C6)C",
    "CO[Si]12(C)O[Si]2(O1)(C)OC", "CC1(C)[Si]2[Si]1(C2)(C)C", "CO[Si]1(OC)(OC)N(C)[C](N1C)N(C)C",
    "CN1[C](O[P]1(F)(F)(F)F)c1ccccc1", "[O]N1O[Si]2(O1)([O])ON(O2)[O]", "F[Si](F)(F)(F)(F)F",
    "Cl[C]1C=CC=C2N1C[Si](O2)(C)(C)Cl", "F[P](F)(F)(F)(F)F", "C[Si]1(C)(Cl)OC2=CC=C[CH]N2C1",
]


def features_of(smiles):
    """The rows of atoms, and of bonds: two atoms, three features."""
    graph = smiles2graph(smiles)
    edges, features = graph["edge_index"].T.tolist(), graph["edge_feat"].tolist()
    bonds = []
    for there, back in zip(range(0, len(edges), 2), range(1, len(edges), 2)):
        assert edges[there] == edges[back][::-1] and features[there] == features[back]
        bonds.append(sorted(edges[there]) + features[there])
    return graph["node_feat"].tolist(), bonds


def bytes_of(smiles):
    atoms, bonds = features_of(smiles)
    return bytes([len(atoms), len(bonds)] + sum(atoms, []) + sum(bonds, []))


def rows_of(path):
    with gzip.open(path, "rt") as file:
        return [(int(row["idx"]), row["smiles"]) for row in csv.DictReader(file)]


def checksums_of(rows):
    for begin in range(0, len(rows), BLOCK):
        block = b"".join(bytes_of(smiles) for _, smiles in rows[begin : begin + BLOCK])
        yield f"{zlib.crc32(block):08x}"


def readable(smiles):
    try:
        features_of(smiles)
    except AttributeError:  # OGB asks None for its atoms
        return False
    return True


def compare(folder, expected):
    for table in TABLES:
        rows = rows_of(folder / f"{table}.csv.gz")
        pairs = zip(expected["checksums"][table], checksums_of(rows))
        blocks = [i for i, (old, new) in enumerate(pairs) if old != new]
        print(f"{table}: {len(blocks)} blocks of {BLOCK} differ")
        for block in blocks:
            print("  ", rows[block * BLOCK : (block + 1) * BLOCK])
    for molecule in expected["molecules"]:
        smiles = molecule["smiles"]
        if not readable(smiles):
            print("refused:", smiles)
        elif features_of(smiles) != (molecule["atoms"], molecule["bonds"]):
            print("differs:", smiles)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    if options.compare:
        compare(options.folder, json.loads(OUTPUT.read_text()))
        return
    molecules = []
    for smiles in SMILES:
        if not readable(smiles):
            sys.exit(f"RDKit refuses {smiles}")
        atoms, bonds = features_of(smiles)
        molecules.append({"smiles": smiles, "atoms": atoms, "bonds": bonds})
    content = {
        "rdkit": rdkit.__version__,
        "ogb": ogb_version,
        "block": BLOCK,
        "checksums": {t: list(checksums_of(rows_of(options.folder / f"{t}.csv.gz"))) for t in TABLES},
        "molecules": molecules,
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
