"""Compare music21's chorales, read on the beat, with the rolls of JSB Chorales.

    python benchmarks/standard_from_midi.py ../shared/data/polyphonic [FOLDER]

Each of Bach's chorales in music21's corpus is written as MIDI, with its repeats played
and without, and read at a quarter note a step.  Each of the 382 rolls is then looked
for among them, transposed: the chorale and the shift with most steps equal, all notes.
FOLDER keeps the MIDI files for the next run.
"""

import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lstmmusic import datasets
from midi import MidiError, midiread

STRETCH = 3  # steps that are equal, transposed, make a chorale a candidate
CANDIDATES = 12
LARGEST_LAG = 4  # steps


class Match(NamedTuple):
    """Hold how near a chorale comes to a roll."""

    equal: int  # steps with the same notes, transposed
    name: str
    lag: int
    semitones: int
    differing: tuple  # steps, the last excluded


def main(data, folder=None):
    """Write the files, look for each roll, and print how many are found."""
    splits = datasets.load_standard("JSB Chorales", data)
    rolls = [chords(roll, 21) for split in splits for roll in split]
    with tempfile.TemporaryDirectory() as temporary:
        files = write_corpus(Path(folder or temporary))
        chorales = dict(filter(None, map(read_chorale, files)))
    by_stretch = defaultdict(set)
    for name, tune in chorales.items():
        for stretch in stretches(tune):
            by_stretch[stretch].add(name)
    found = [best_match(roll, chorales, by_stretch) for roll in tqdm(rolls)]
    report(rolls, found, chorales)


def write_corpus(folder):
    """Return the MIDI files of all of Bach's pieces in music21, written if missing."""
    from music21 import bar, converter, corpus

    folder.mkdir(exist_ok=True)
    for source in tqdm(corpus.getComposer("bach"), desc="music21"):
        targets = [folder / f"{source.stem}{way}.mid" for way in ("", "-unrepeated")]
        if all(target.exists() for target in targets):
            continue
        try:
            score = converter.parse(source, forceSource=True, storePickle=False)
            score.write("midi", targets[0])
            for mark in list(score.recurse().getElementsByClass(bar.Repeat)):
                mark.activeSite.remove(mark)
            score.write("midi", targets[1])
        except Exception as error:  # of music21, which has a class for each
            print(f"{source.name}: {error}", file=sys.stderr)
    return sorted(folder.glob("*.mid"))


def read_chorale(file):
    """Return a file's name and chords, or None for a file without notes."""
    try:
        return file.stem, chords(midiread(file, (0, 128), 1, unit="beats").piano_roll)
    except MidiError:
        return None


def chords(roll, low=0):
    """Return the pitches of each step as a tuple, silence at both ends left out."""
    sounding = np.flatnonzero(roll.any(axis=1))
    inner = roll[sounding[0] : sounding[-1] + 1]
    return [tuple((np.flatnonzero(row) + low).tolist()) for row in inner]


def shifted(chord, semitones):
    return tuple(pitch + semitones for pitch in chord)


def stretches(tune):
    """Yield each stretch of STRETCH chords, from its first chord's lowest note."""
    for start in range(len(tune) - STRETCH + 1):
        stretch = tune[start : start + STRETCH]
        if all(stretch):
            yield tuple(shifted(chord, -stretch[0][0]) for chord in stretch)


def best_match(roll, chorales, by_stretch):
    """Return the Match of the chorale that has most steps of a roll, or None."""
    votes = Counter(name for s in stretches(roll) for name in by_stretch[s])
    lags = range(-LARGEST_LAG, LARGEST_LAG + 1)
    names = [name for name, _ in votes.most_common(CANDIDATES)]
    matches = (match(roll, chorales[name], lag, name) for name in names for lag in lags)
    return max(matches, default=None)


def match(roll, tune, lag, name):
    """Return the Match of a roll's step t with a tune's step t + lag."""
    pairs = {t: (roll[t], tune[t + lag]) for t in range(len(roll))
             if 0 <= t + lag < len(tune)}  # fmt: skip
    shifts = Counter(a[0] - b[0] for a, b in pairs.values() if a and b)
    semitones = shifts.most_common(1)[0][0] if shifts else 0
    same = {t for t, (a, b) in pairs.items() if a == shifted(b, semitones)}
    differing = tuple(t for t in range(len(roll) - 1) if t not in same)
    return Match(len(same), name, lag, semitones, differing)


def report(rolls, found, chorales):
    """Print the table of how many rolls are found, and how the others differ."""
    steps = sum(map(len, rolls))
    equal = sum(m.equal for m in found if m)
    print(f"{len(rolls)} rolls, {steps} steps; equal in all notes: {equal / steps:.1%}")
    shares = Counter()
    differences = Counter()
    for roll, m in zip(rolls, found, strict=True):
        share = m.equal / len(roll) if m else 0
        whole = m is not None and not m.differing
        longer = m is not None and len(roll) + m.lag > len(chorales[m.name])
        kind = (
            "all steps equal" if whole and m.equal == len(roll)
            else "all but the last, a step longer in the roll" if whole and longer
            else "all but the last" if whole
            else "90 % of the steps" if share >= 0.9
            else "50 % of the steps" if share >= 0.5
            else "fewer, or not in the corpus"
        )  # fmt: skip
        shares[kind] += 1
        if share >= 0.5:
            differences.update(kinds_of_difference(roll, m, chorales[m.name]))
    for kind, number in shares.most_common():
        print(f"{number:4} {kind}")
    print("steps that differ, of the rolls with half or more equal:")
    for kind, number in differences.most_common():
        print(f"{number:4} {kind}")


def kinds_of_difference(roll, found, tune):
    """Yield a word for each step but the last of a roll that differs from its tune."""
    for t in found.differing:
        if not 0 <= t + found.lag < len(tune):
            yield "beyond the tune"
            continue
        ours = set(shifted(tune[t + found.lag], found.semitones))
        theirs = set(roll[t])
        missing, more = ours - theirs, theirs - ours
        before = set(roll[t - 1]) if t else set()
        if len(missing) == len(more) == 1 and abs(min(missing) - min(more)) == 1:
            yield "one note a semitone off: an accidental"
        elif not more:
            yield "a note less in the roll"
        elif not missing:
            yield "a note more in the roll"
        elif more <= before:
            yield "a note of the step before in the roll: another sample in time"
        else:
            yield "other notes"


if __name__ == "__main__":
    main(*sys.argv[1:])
