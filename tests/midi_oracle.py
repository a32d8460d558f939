"""Read a mido.MidiFile in exact fractions and plain loops."""

import math
from collections import deque
from fractions import Fraction

import numpy as np


def mido_roll(file, r, dt):
    """Return the roll of a mido.MidiFile, cell by cell, in exact fractions."""
    events, tempos = [], []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                tempos.append((tick, message.tempo))
            events.append((tick, id(track), message))
    tempos.sort(key=lambda item: item[0])

    def steps(tick):
        total, last, tempo = 0, 0, 500_000
        for at, next_tempo in tempos:
            if at > tick:
                break
            total, last, tempo = total + (at - last) * tempo, at, next_tempo
        total += (tick - last) * tempo
        seconds = Fraction(total, file.ticks_per_beat * 1_000_000)
        return math.ceil(seconds / Fraction(str(dt)))

    sounding, notes = {}, []
    for tick, track, message in events:
        if message.type not in ("note_on", "note_off") or message.channel == 9:
            continue
        queue = sounding.setdefault((track, message.channel, message.note), deque())
        if message.type == "note_on" and message.velocity:
            queue.append(tick)
        elif queue:
            notes.append((message.note, steps(queue.popleft()), steps(tick)))
    notes = [note for note in notes if r[0] <= note[0] < r[1]]
    roll = np.zeros((max(end for *_, end in notes), r[1] - r[0]), np.uint8)
    for pitch, first, end in notes:
        for t in range(first, end):
            roll[t, pitch - r[0]] = 1
    return roll


def mido_unended(file, r):
    """Return how many notes of a mido.MidiFile, of pitches in r, are never ended."""
    sounding = {}
    for number, track in enumerate(file.tracks):
        for message in track:
            if message.type in ("note_on", "note_off"):
                key = number, message.channel, message.note
                begins = message.type == "note_on" and message.velocity > 0
                now = sounding.get(key, 0)
                sounding[key] = now + 1 if begins else max(now - 1, 0)
    return sum(now for (*_, pitch), now in sounding.items() if r[0] <= pitch < r[1])
