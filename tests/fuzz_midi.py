"""Make mutants of MIDI files, and read them, for `fuzz`."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from midi import RollFormat, events, midiread, midiwrite, parsing
from midi.clock import seconds_to_steps

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
MAX_TRACK_BYTES = 2**18
BYTES = bytes.fromhex("00 01 2f 40 51 58 7f 80 81 90 99 b0 c0 f0 f1 f4 f7 f8 fe ff")
# Events that may stand between others, each with its delta time.
SOUND = [
    b"\x00\xff\x51\x03\x00\x00\x01",  # tempos: 1 µs, the slowest
    b"\x00\xff\x51\x03\xff\xff\xff",
    b"\x00\xff\x58\x04\xff\xff\xff\xff",  # time and key signatures without meaning
    b"\x00\xff\x58\x00",
    b"\x00\xff\x59\x02\x7f\x7f",
    b"\x00\xff\x03\x0b/etc/passwd",  # names that must not be opened
    b"\x00\xff\x01\x0b../../x.mid",
    b"\x00\xff\x05\x04\xff\xfe\xc0\x80",  # a text that is not UTF-8
    b"\x00\xb0\x07\xa8",  # data bytes over 127, of no pitch
    b"\x00\xb0\xc0\x7f\x00\xc0\x85\x00\xe0\x85\x85\x00\x90\x3c\xc0",
    b"\x00\xf0\x02\x7e\xf7",  # exclusive events: whole, open and continued
    b"\x00\xf0\x02\x7e\x00\x10\xf7\x02\x00\xf7",
    b"\x00\xff\x2f\x00",  # an early end
    b"\x00\x90\x3c\x40\x10\x3e\x40",  # running status, here and after all the next
    b"\x10\x3e\x00",
    b"\x00\xb0\x40\x7f\x05\x40\x00",
    b"\x00\x99\x24\x40\x05\x24\x00",
    b"\x00\xc0\x05\x00\x06",
    *(bytes([0, status]) for status in (0xF6, 0xF8, 0xFA, 0xFB, 0xFC, 0xFE)),
    b"\x00\xf1\x05",
    b"\x00\xf2\x05\x06",
    b"\x00\xf3\x05",
]
BROKEN = [
    b"\xff\xff\xff\x7f",  # the longest delta time
    b"\xff" * 5,  # a delta time of over 4 bytes
    b"\x00\xff\x51\x03\x00\x00\x00",  # tempos: 0, too short, too long
    b"\x00\xff\x51\x00",
    b"\x00\xff\x51\x05\x01\x02\x03\x04\x05",
    b"\x00\xff\x7f\xff\xff\xff\x7f",  # lengths far beyond the end
    b"\x00\xf0\xff\xff\xff\x7f",
    b"\x00\xf7\x81\x00",
    b"\x81\x80\x80\x80\x3c",  # delta time and length of five bytes
    b"\x00\xff\x01\x80\x80\x80\x80\x00",
    b"\x00\x90\xbc\x40",  # a pitch over 127
    *(bytes([0, status]) for status in (0xF4, 0xF5, 0xF9, 0xFD, 0xFF)),
]


def seeds():
    """Return MIDI files to mutate: from midi-odd, if it is there, and midiwrite."""
    rng = np.random.default_rng(0)
    found = [path.read_bytes() for path in sorted(DATA.glob("midi-odd/*.mid"))]
    for steps, notes, dt in [(1, 1, 0.2), (20, 5, 0.3), (300, 88, 0.05), (9, 128, 40)]:
        roll = rng.random((steps, notes)) < 0.2
        roll[0, 0] = True
        file = io.BytesIO()
        midiwrite(file, roll, (0, notes), dt)
        found.append(file.getvalue())
    return found


def mutant(rng, seeds):
    """Return the bytes of a file made from one or two of the seeds."""
    data, how = bytearray(rng.choice(seeds)), rng.random()
    if how < 0.2:  # the whole file, whatever its bytes mean
        for _ in range(rng.randint(1, 3)):
            rng.choice([*BYTEWISE, *HEADER])(rng, data, rng.choice(seeds))
        return bytes(data)
    # Only the tracks, with correct lengths and count, to pass the checks of those.
    header, tracks = _split(data)
    for _ in range(int(rng.paretovariate(1.0) % 10)):
        track, other = rng.choice(tracks), rng.choice(_split(rng.choice(seeds))[1])
        rng.choice(BYTEWISE if how < 0.4 else EVENTWISE)(rng, track, other)
    if rng.random() < 0.1:
        rng.choice(HEADER)(rng, header, b"")
    if rng.random() < 0.001:
        tracks = [min(tracks, key=len)[:30]] * rng.randint(1000, 2**16 - 1)
    header[10:12] = len(tracks).to_bytes(2, "big")
    chunks = (b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)
    return bytes(header + b"".join(chunks))


def attempt(data, rng):
    """Read `data`, and assert that the result is a piano-roll of its notes."""
    r = rng.choice([(21, 109), (0, 128), (60, 61)])
    dt = rng.choice([0.2, 0.2, 0.01, 1e-3, 80])
    steps = rng.choice([None, None, None, "end", 1, 1000])
    names = ("drums", "pedal", "quantize", "restruck")
    options = {name: rng.random() < 0.3 for name in names}
    options["unit"] = rng.choice(["seconds", "beats"])
    options["unended"] = rng.choice(["drop", "hold"])
    if options["unit"] == "beats":
        dt = rng.choice([dt, Fraction(1, 3), Fraction(7, 32767), 10**30])
    found = midiread(wrapped(data, rng), r, dt, steps=steps, **options)
    assert found.format == RollFormat(
        r, dt, options["unit"], options["quantize"], options["restruck"]
    )
    check_roll(found, steps)
    check_notes(found, steps, data)
    assert options["unended"] == "drop" or found.left_out["never ended"] == 0
    assert not options["quantize"] or found.left_out["between steps"] == 0
    assert repr(found)


def wrapped(data, rng):
    """Return the file, now and then in RIFF."""
    if rng.random() < 0.1:
        chunk = b"data" + len(data).to_bytes(4, "little") + data
        data = b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"RMID" + chunk
    return io.BytesIO(data)


def check_roll(found, steps):
    """Assert that a roll is of zeros and ones, and its marks where it sounds."""
    roll, notes = found.piano_roll, found.format.notes
    rows = steps if isinstance(steps, int) else len(roll)
    assert roll.shape == (rows, found.format.width)
    assert rows > 0
    assert roll.dtype == np.uint8
    assert roll.max() <= 1
    if found.restruck:
        sounds, struck = roll[:, :notes], roll[:, notes:]
        assert not struck[0].any()
        assert (struck[1:] <= sounds[1:] & sounds[:-1]).all()


def check_notes(found, steps, data):
    """Assert that each note that begins is in some row or left out for one reason."""
    suffix = "s" if found.unit == "seconds" else "beats"
    onset, offset = (found.notes[f"{end}_{suffix}"] for end in ("onset", "offset"))
    pitch, r = found.notes["pitch"], found.r
    assert (onset >= 0).all()
    assert (offset >= onset).all()
    assert (np.diff(onset) >= 0).all()
    assert ((pitch >= r[0]) & (pitch < r[1])).all()
    end = found.end_s if found.unit == "seconds" else found.end_beats
    assert (offset <= end).all()
    assert min(found.left_out.values()) >= 0
    assert 0 <= found.doubled < len(onset)
    if found.tempos is not None:
        assert found.tempo > 0
        assert (np.diff(found.tempos["onset_beats"]) > 0).all()
    tracks = parsing.read_chunks(data, "it").tracks
    outside = ("below r", "above r", "percussion", "never ended")
    left_out = sum(found.left_out[why] for why in outside)
    assert len(onset) + left_out == count_note_ons(tracks)
    if found.unit == "seconds":
        first = seconds_to_steps(onset, found.dt, found.quantize)
        last = seconds_to_steps(offset, found.dt, found.quantize)
        last = np.maximum(last, first + 1) if found.quantize else last
        in_some_row = np.count_nonzero((first < last) & (first < len(found.piano_roll)))
        lost = found.left_out["between steps"] + found.left_out["after steps"]
        assert in_some_row + lost == len(onset)
    assert isinstance(steps, int) or found.left_out["after steps"] == 0


def count_note_ons(tracks):
    """Return how many notes begin, walking all events one by one."""
    shortest, events._SHORTEST_RUN = events._SHORTEST_RUN, float("inf")
    try:
        found = [events.read_track(track).messages for track in tracks]
        return sum(
            np.count_nonzero((status >> 4 == events.NOTE_ON) & (velocity > 0))
            for _, status, _, velocity in found
        )
    finally:
        events._SHORTEST_RUN = shortest


def _split(data):
    """Return the first 14 bytes, and the content of each track chunk or one byte."""
    tracks = []
    for chunk in bytes(data).split(b"MTrk")[1:]:
        tracks.append(bytearray(chunk[4:] or b"\0"))
    return bytearray(data[:14].ljust(14, b"\0")), tracks or [bytearray(1)]


def _place(rng, data):
    return rng.randrange(len(data) + 1)


def _slice(rng, data):
    begin = _place(rng, data)
    return begin, min(len(data), begin + int(rng.paretovariate(0.7)))


def _flip(rng, data, _):
    for _ in range(rng.randint(1, 16) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng, data, _):
    for _ in range(rng.randint(1, 8) if data else 0):
        data[rng.randrange(len(data))] = rng.choice(BYTES)


def _cut(rng, data, _):
    del data[_place(rng, data) :]


def _drop(rng, data, _):
    begin, end = _slice(rng, data)
    del data[begin:end]


def _splice(rng, data, other):
    begin, end = _slice(rng, other)
    data[_place(rng, data) : 0] = other[begin:end]
    del data[MAX_TRACK_BYTES:]


def _repeat(rng, data, _):
    begin, end = _slice(rng, data)
    data[begin:begin] = data[begin:end] * int(rng.paretovariate(0.5) % 10_000)
    del data[MAX_TRACK_BYTES:]


def _events(data):
    """Return where each event of a track begins, up to the first broken one."""
    starts, at, status = [], 0, 0
    while at < len(data):
        starts.append(at)
        while at < len(data) and data[at] >= 0x80:  # the delta time
            at += 1
        kind = data[at + 1 : at + 4].ljust(3, b"\0")
        if kind[0] in (0xF0, 0xF7, 0xFF):
            at += 2 + (kind[0] == 0xFF)
            length = 0
            while at < len(data) and data[at] >= 0x80:
                length = (length | data[at] & 0x7F) << 7
                at += 1
            at += 1 + (length | data[at] if at < len(data) else 0)
            continue
        status = kind[0] if kind[0] >= 0x80 else status
        at += 1 + (kind[0] >= 0x80) + (1 if status >> 4 in (0xC, 0xD) else 2)
    return [start for start in starts if start < len(data)] or [0]


def _insert(rng, data, _):
    pieces = BROKEN if rng.random() < 0.1 else SOUND
    at = rng.choice(_events(data))
    data[at:at] = b"".join(rng.choices(pieces, k=rng.randint(1, 4)))


def _leave_out(rng, data, _):
    starts = [*_events(data), len(data)]
    first = rng.randrange(len(starts))
    del data[starts[first] : starts[min(len(starts) - 1, first + rng.randint(1, 3))]]


def _say_again(rng, data, other):
    starts = [*_events(other), len(other)]
    first = rng.randrange(len(starts))
    piece = other[
        starts[first] : starts[min(len(starts) - 1, first + rng.randint(1, 9))]
    ]
    at = rng.choice(_events(data))
    data[at:at] = piece * int(rng.paretovariate(0.5) % 10_000)
    del data[MAX_TRACK_BYTES:]


def _delay(rng, data, _):
    at = rng.choice(_events(data))
    delta = bytes(rng.randrange(0x80, 0x100) for _ in range(rng.randint(0, 3)))
    data[at : at + 1] = delta + bytes([rng.randrange(0x80)])


def _compose(rng, data, _):
    notes = [b"\x05\x90\x3c\x40", b"\x10\x80\x3c\x40", b"\x83\x00\x90\x3c\x00"]
    data[:] = b"".join(rng.choices(SOUND + 9 * notes, k=rng.randint(1, 300)))


def _number(rng, data, begin, length):
    value = rng.choice(
        [0, 1, 2, 3, 0x7F, 0x80, 2**15, 2**31, 2**32 - 1, rng.getrandbits(32)]
    )
    data[begin : begin + length] = (value % 256**length).to_bytes(length, "big")


def _format(rng, data, _):
    _number(rng, data, 8, 2)


def _count(rng, data, _):
    _number(rng, data, 10, 2)


def _division(rng, data, _):
    data[12:14] = rng.choice(
        [
            b"\0\0",
            b"\0\1",
            b"\x7f\xff",
            b"\x80\0",
            b"\xe7\x28",
            b"\xe3\x01",
            b"\xff\xff",
        ]
    )


def _length(rng, data, _):
    """Change the length of the header's chunk or of a track's."""
    starts = [i for i in range(len(data) - 8) if data[i : i + 3] in (b"MTh", b"MTr")]
    if starts:
        _number(rng, data, rng.choice(starts) + 4, 4)


BYTEWISE = [_flip, _set, _cut, _drop, _splice, _repeat]
EVENTWISE = [_insert, _insert, _leave_out, _say_again, _delay, _compose]
HEADER = [_format, _count, _division, _division, _length]
