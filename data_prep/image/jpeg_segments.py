"""A part of a JPEG as a JPEG of its own, cut out of the file's bytes without decoding them.

Entropy coding makes a JPEG one long thread: to decode a block, all before it have to be decoded,
which is more than half of the work. A restart marker (ITU-T T.81, sections B.2.1 and E.1.4) cuts
the thread: decoding begins anew behind it. Where one stands after each group of blocks (MCU), the
groups of a window, behind one another, are a JPEG of that window: its header says another height
and width, its markers are numbered anew. The pixels are those of the whole image to the bit.

The job's encoder writes such files (`conversion.encode`), which are ordinary JPEGs for everyone
else, 4 to 5 % longer. Of all others what lies below the window is left out: the header says less
height, and decoders stop there.
"""

import numpy as np

from data_prep.image.compiled import compiled

# Beside a window, so that chroma interpolated across its border has its neighbours.
MARGIN = 1  # groups
_BASELINE, _EXTENDED, _SCAN, _RESTARTS = 0xC0, 0xC1, 0xDA, 0xDD
_FIRST_RESTART, _END = 0xD0, 0xD9
_LOWEST = np.uint64(0x0101010101010101)
_HIGHEST = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
# Times a word of which one byte is 1, this has that byte's place above all others.
_PLACES = np.uint64(0x0001020304050607)


@compiled
def cut(data, box, margin, result):  # type: ignore[no-untyped-def]
    """The smallest JPEG around a window that can be had without decoding.

    Args:
        data: uint8 [n], the file.
        box: int32 [4]: top, left, height, width of the window, in pixels, within the image.
        margin: groups of blocks to add on each side, where the image has them.
        result: uint8, at least as long; the JPEG is written into it.

    Returns:
        Its length in bytes, and the window's top and left in it; length 0 if the file is none that
        this module understands: progressive, damaged, or not of the frame that the window needs.
    """
    frame, scan, interval = _header(data)
    if not frame or data[-2] != 0xFF or data[-1] != _END:
        return 0, 0, 0
    height = np.int64(data[frame]) << 8 | data[frame + 1]
    width = np.int64(data[frame + 2]) << 8 | data[frame + 3]
    tall, wide = _group(data, frame)
    columns = (width + wide - 1) // wide
    rows = (height + tall - 1) // tall
    top = max(box[0] // tall - margin, 0)
    left = max(box[1] // wide - margin, 0)
    bottom = min((box[0] + box[2] - 1) // tall + margin, rows - 1)
    right = min((box[1] + box[3] - 1) // wide + margin, columns - 1)
    if box.min() < 0 or box[0] + box[2] > height or box[1] + box[3] > width:
        return 0, 0, 0
    if interval != 1:
        result[: len(data)] = data
        _write(result, frame, min((bottom + 1) * tall, height))
        return len(data), box[0], box[1]
    ends = np.empty(bottom * columns + right + 1, np.int64)
    if not _find_ends(data, scan, ends):
        return 0, 0, 0
    result[:scan] = data[:scan]
    _write(result, frame, min((bottom + 1) * tall, height) - top * tall)
    _write(result, frame + 2, min((right + 1) * wide, width) - left * wide)
    length, written = scan, 0
    for row in range(top, bottom + 1):
        first, last = row * columns + left, row * columns + right
        start = ends[first - 1] + 2 if first else scan
        size = ends[last] - start
        result[length : length + size] = data[start : ends[last]]
        for group in range(first, last + 1):
            marker = length + ends[group] - start
            result[marker] = 0xFF
            result[marker + 1] = _FIRST_RESTART + written % 8
            written += 1
        length += size + 2
    result[length - 1] = _END
    return length, box[0] - top * tall, box[1] - left * wide


@compiled
def _header(data):  # type: ignore[no-untyped-def]
    """Where the frame's height (0: none) and the scan's data begin, and the restart interval."""
    position, frame, interval = 2, 0, 0
    while position + 12 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = np.int64(data[position + 2]) << 8 | data[position + 3]
        if marker in (_BASELINE, _EXTENDED):
            frame = position + 5
        elif marker == _RESTARTS:
            interval = np.int64(data[position + 4]) << 8 | data[position + 5]
        elif marker == _SCAN:
            # All components in one scan, or groups are not what the frame says.
            whole = frame > 0 and data[position + 4] == data[frame + 4]
            return frame if whole else 0, position + 2 + length, interval
        position += 2 + length
    return 0, 0, 0


@compiled
def _group(data, frame):  # type: ignore[no-untyped-def]
    """Rows and columns of a group of blocks, in pixels."""
    tall = wide = 1
    components = data[frame + 4]
    for component in range(components if components > 1 else 0):  # one alone goes block by block
        sampling = np.int64(data[frame + 6 + 3 * component])
        wide = max(wide, int(sampling >> 4))
        tall = max(tall, int(sampling & 15))
    return 8 * tall, 8 * wide


@compiled
def _find_ends(data, scan, ends):  # type: ignore[no-untyped-def]
    """Fills int64 [groups] with the places of the markers behind each; whether all are there."""
    words = data[: len(data) // 8 * 8].view(np.uint64)
    found = 0
    for word in range(scan // 8, len(words)):
        inverse = ~words[word]
        candidates = (inverse - _LOWEST) & ~inverse & _HIGHEST  # bytes that are 0xFF, and a few
        while candidates and found < len(ends):
            lowest = (candidates & ~candidates + _ONE) >> np.uint64(7)
            place = 8 * word + np.int64(lowest * _PLACES >> np.uint64(56))
            if place >= scan and _is_end(data, place):
                ends[found] = place
                found += 1
            candidates &= candidates - _ONE
        if found == len(ends):
            return True
    for byte in range(max(8 * len(words), scan), len(data)):
        if found < len(ends) and _is_end(data, byte):
            ends[found] = byte
            found += 1
    return found == len(ends)


@compiled
def _is_end(data, place):  # type: ignore[no-untyped-def]
    if place + 1 >= len(data) or data[place] != 0xFF:
        return False
    return _FIRST_RESTART <= data[place + 1] <= _END


@compiled
def _write(result, place, number):  # type: ignore[no-untyped-def]
    result[place] = number >> 8
    result[place + 1] = number & 255
