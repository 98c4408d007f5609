#!/usr/bin/env python3
"""Writes the seeds of every corpus, `fuzz/corpus/TARGET/seed-*`, from the recordings in tests/vectors.

The other files there are finds of the fuzzers, kept because they were bugs once or reach code that no recording does.
What a seed's first bytes mean stands at the head of each body, in crates/channel-proto/src/fuzz/.
"""

import json
import pathlib
import struct
import zlib

ROOT = pathlib.Path(__file__).resolve().parent
VECTORS = ROOT.parent / "crates/channel-proto/tests/vectors"
CORPUS = ROOT / "corpus"

SUBPROTOCOLS = ["", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
                "v5.channel.k8s.io"]
OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10, "3": 3, "11": 11}
ROLES = {"s2c": 0, "c2s": 1}  # Who reads it: a client what the server sent, a server what the client sent.
CUT = b"\x2a\x07"
LONGEST_PAYLOAD = 200  # Longer ones teach a fuzzer nothing, and long inputs are slow.
LONGEST_STREAM = 1500
MASK = bytes([0x37, 0xFA, 0x21, 0x3D])


def payload(message):
    """The payload, of a long one its head: whole groups of base64, so that it stays decodable."""
    data = bytes.fromhex(message.get("hex") or message.get("hex_head", ""))
    if len(data) <= LONGEST_PAYLOAD:
        return data
    return data[: 1 + (LONGEST_PAYLOAD - 1) // 12 * 12]


def frame(message):
    data = payload(message)
    first = OPCODES[message["opcode"]]
    first |= 0x80 if message.get("fin", True) else 0
    first |= (message.get("rsv") or 0) << 4
    masked = message.get("masked", message["dir"] == "c2s")
    length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
    if not masked:
        return bytes([first]) + length + data
    body = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(data))
    return bytes([first, length[0] | 0x80]) + length[1:] + MASK + body


def cut_to_size(parts):
    """As many of `parts` as make a stream of a sensible size."""
    size = 0
    for part in parts:
        size += len(part)
        if size > LONGEST_STREAM:
            return
        yield part


def channel_frames(recording, subprotocol):
    for direction, role in ROLES.items():
        data = [payload(m) for m in recording["messages"]
                if m["dir"] == direction and m["opcode"] in ("binary", "text")]
        messages = b"".join(cut_to_size(struct.pack("<H", len(d)) + d for d in data))
        if messages:
            yield bytes([subprotocol, role]) + CUT + messages


def websocket_bytes(recording, subprotocol):
    for direction, role in ROLES.items():
        frames = [frame(m) for m in recording["messages"] if m["dir"] == direction]
        stream = b"".join(cut_to_size(frames))
        odd = any(m["opcode"] in ("3", "11") or "rsv" in m or "fin" in m or "masked" in m
                  for m in recording["messages"])
        for strictness in (0, 1) if odd else (0,):
            if stream:
                yield bytes([role, strictness, subprotocol, 0]) + CUT + stream


def offers(recording):
    return sum(1 << SUBPROTOCOLS.index(name) for name in recording["request"].get("subprotocols_offered", [])
               if name in SUBPROTOCOLS)


def response_head(recording):
    response = recording["response"]
    return "\r\n".join([response["status_line"], *response["header_lines"], "", ""]).encode()


def upgrade_response(recording, _):
    answer = response_head(recording) + recording["response"].get("body", "").encode()
    yield bytes([offers(recording), 0]) + CUT + answer


def upgrade_request(recording, _):
    request = recording["request"]
    lines = [f"{request['method']} {request['path_and_query']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request["headers"]]
    yield bytes([0b111010, 0]) + CUT + "\r\n".join([*lines, "", ""]).encode()


EXEC_OPS = ["WriteStdin", "CloseStdin", "Resize", "Disconnect", "WriteOutput", "WriteOutputBytes", "Finish", "Transmit",
            "Receive", "Settle", "Pause", "Resume", "Sleep", "Abort", "Cut"]
FORWARD_OPS = ["Connect", "Write", "WriteBytes", "Finish", "Fail", "Forget", "Reset", "Transmit", "Receive", "Settle",
               "Pause", "Resume", "Sleep", "Trouble"]
CHANNEL_OPS = [name for name in FORWARD_OPS if name != "Reset"]


def choice(index, count):
    """A variant of an enum, as the crate `arbitrary` reads it."""
    return struct.pack("<I", -(-(index << 32) // count))


def op(name, *fields, ops=EXEC_OPS):
    return choice(ops.index(name), len(ops)) + b"".join(fields)


def u16(number):
    return struct.pack("<H", number)


def exec_session(recording, subprotocol):
    """The conversation as it was recorded, both over bytes and over messages, each message with a delay and a resting link."""
    ops, last = [], 0
    for message in recording["messages"]:
        data = payload(message)
        length = u16(min(message.get("len", len(data)), 65535))
        code = data[0] - (48 if SUBPROTOCOLS[subprotocol].count("base64") else 0) if data else None
        match message["dir"], message["opcode"], code:
            case "c2s", "binary" | "text", 0:
                ops.append(op("WriteStdin", length))
            case "c2s", "binary" | "text", 4:
                ops.append(op("Resize", u16(80), u16(24)))
            case "c2s", "binary" | "text", 255:
                ops.append(op("CloseStdin"))
            case "c2s", "close", _:
                ops.append(op("Disconnect"))
            case "s2c", "binary" | "text", 1 | 2 if len(data) > 1:
                name = "WriteOutput" if len(ops) % 2 else "WriteOutputBytes"
                ops.append(op(name, choice(code - 1, 2), length))
            case "s2c", "binary" | "text", 3 if len(data) > 1:
                ops.append(op("Finish", choice(0, 4), struct.pack("<i", 7 if b"ExitCode" in data else 0)))
            case _:
                continue
        elapsed, last = message["t_ms"] - last, message["t_ms"]
        ops.append(op("Sleep", u16(min(elapsed, 65535))))
        ops.append(op("Settle"))
    for entry in (0, 1):
        # Every stream but a terminal; the heartbeats of client and server; the widest limits.
        yield bytes([subprotocol, entry, 0b0111 | (8 if "tty" in recording["name"] else 0), 0, 1, 0, 0]) + b"".join(
            cut_to_size(ops))


def spdy_stream(recording, direction):
    """What one end sent of SPDY, up to the first message of which only the beginning was kept."""
    stream = b""
    for message in recording["messages"]:
        if message["dir"] == direction and message["opcode"] in ("spdy", "binary", "continuation"):
            stream += bytes.fromhex(message.get("hex") or message.get("hex_head", ""))
            if "hex" not in message and message.get("len", 0) > 0:
                break
    return stream


def split_spdy(stream):
    """Its frames, of long DATA the beginning."""
    while len(stream) >= 8:
        length = int.from_bytes(stream[5:8], "big")
        body, stream = stream[8 : 8 + length], stream[:8] + stream[8 + length :]
        if stream[0] < 0x80:
            body = body[:LONGEST_PAYLOAD]
        yield stream[:5] + len(body).to_bytes(3, "big") + body
        stream = stream[8:]


def spdy_frames(recording, _):
    opened = sum(frame[:4] == b"\x80\x03\0\x01" for frame in split_spdy(spdy_stream(recording, "c2s")))
    for direction, role in ROLES.items():
        frames = b"".join(cut_to_size(split_spdy(spdy_stream(recording, direction))))
        if frames:
            # As many streams as the recorded client opened; the server opened none.
            yield bytes([role, 0, min(opened, 7) if role == 0 else 0]) + CUT + frames


def forward_session(recording, _):
    """The connections as they were recorded, raw and in a tunnel, each frame with a delay and a resting link."""
    if "portforward" not in recording["name"]:
        return
    ops, connections, ends = [], [], {"c2s": choice(0, 2), "s2c": choice(1, 2)}

    def do(name, *fields):
        ops.append(op(name, *fields, ops=FORWARD_OPS))

    for frame in recording.get("spdy_frames", recording["messages"]):
        stream, kind, end = frame.get("stream", 0), frame.get("frame"), ends[frame["dir"]]
        pick = bytes([connections.index(stream | 2)]) if stream | 2 in connections else b"\0"
        is_data = stream % 4 == 3
        match kind:
            case "SYN_STREAM" if is_data:
                connections.append(stream)
                do("Connect")
            case "DATA" if is_data and frame["len"] > 0:
                do("WriteBytes" if len(ops) % 2 else "Write", end, pick, u16(min(frame["len"], 4096)))
            case "DATA" if frame["dir"] == "s2c" and frame["len"] > 0:
                do("Fail", pick, bytes([frame["len"] // 4 % 256]))
            case "RST_STREAM" if is_data:
                do("Forget", end, pick)
            case "GOAWAY":
                do("Trouble", b"\1", end, u16(0))
        if kind == "DATA" and is_data and frame["flags"] & 1:
            do("Finish", end, pick)
        do("Sleep", u16(50))
        do("Settle")
    if connections:
        for tunnel in (0, 1):
            yield bytes([tunnel, 0, 1, 0, 0, 0]) + b"".join(cut_to_size(ops))


def forward_channels(recording, subprotocol):
    """The connections as they were recorded, each message with a delay and a resting link."""
    forms = {"v4.channel.k8s.io": 0, "v4.base64.channel.k8s.io": 1, "": 2}
    form = forms.get(recording["response"]["subprotocol"] or "")
    if "portforward" not in recording["name"] or recording["response"]["status"] != 101 or form is None:
        return
    ops, begun, ends = [], set(), {"c2s": choice(0, 2), "s2c": choice(1, 2)}

    def do(name, *fields):
        ops.append(op(name, *fields, ops=CHANNEL_OPS))

    for message in recording["messages"]:
        data, end = payload(message), ends[message["dir"]]
        if message["opcode"] in ("text", "binary") and data:
            channel = data[0] - (ord("0") if form == 1 else 0)
            first = message["dir"] == "s2c" and channel not in begun
            pick, size = bytes([channel // 2 % 256]), u16(min(message.get("len") or len(data) - 1, 4096))
            if first:
                begun.add(channel)
                if channel % 2 == 0:
                    do("Connect", pick)
            elif channel % 2 == 0:
                do("WriteBytes" if len(ops) % 2 else "Write", end, pick, size)
            elif message["dir"] == "s2c":
                do("Fail", pick, bytes([len(data) // 4]))
        elif message["opcode"] == "close" and message["dir"] == "s2c":
            for port in range(len(begun) // 2):
                do("Finish", end, bytes([port]))
        elif message["opcode"] == "close":
            do("Trouble", b"\1", end, u16(0))
        do("Sleep", u16(50))
        do("Settle")
    if begun:
        yield bytes([form, len(begun) // 2 - 1, 0, 1, 0, 0, 0]) + b"".join(cut_to_size(ops))


RAW, COMPRESSED = 0, 2


def spdy_headers(recording, _):
    """The header blocks of each direction, as they were compressed and, to be compressed anew, as they were meant."""
    for direction in ROLES:
        inflate = zlib.decompressobj(zdict=(VECTORS / "spdy_dictionary.bin").read_bytes())
        raw, plain = b"", b""
        for frame in split_spdy(spdy_stream(recording, direction)):
            kinds = {1: 18, 2: 12, 8: 12}
            if frame[:3] != b"\x80\x03\0" or frame[3] not in kinds:
                continue
            block = frame[kinds[frame[3]] :]
            kind = list(kinds).index(frame[3])
            raw += bytes([kind, 0, 0, 0, 0, 0, len(block)]) + block
            block = inflate.decompress(block)
            plain += bytes([kind, 0, 0, 0, 0, 0, len(block)]) + block
        if raw:
            yield bytes([RAW, 0]) + CUT + raw
            yield bytes([COMPRESSED, 0]) + CUT + plain


def shape(seed):
    """What makes a seed worth keeping beside others: not the text in it."""
    return (seed[:3], len(seed) // 64) if len(seed) < 600 else seed[:3]


def main():
    over_spdy = {"spdy_frames": spdy_frames, "spdy_headers": spdy_headers, "forward_session": forward_session}
    targets = {"channel_frame": channel_frames, "websocket_bytes": websocket_bytes,
               "upgrade_response": upgrade_response, "upgrade_request": upgrade_request,
               "exec_session": exec_session, "forward_channels": forward_channels, **over_spdy}
    recordings = [json.loads(path.read_text()) for path in sorted(VECTORS.glob("*/*.json"))]
    for target, seeds in targets.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("seed-*"):
            old.unlink()
        seen = set()
        for recording in recordings:
            spdy = "spdy" in recording["name"] or any(m["opcode"] == "spdy" for m in recording["messages"])
            tunnelled = "spdy_frames" in recording
            if not (spdy or tunnelled) if target in over_spdy else spdy:
                continue
            name = recording["response"]["subprotocol"] or ""
            subprotocol = SUBPROTOCOLS.index(name) if name in SUBPROTOCOLS else 0
            for nth, seed in enumerate(seeds(recording, subprotocol)):
                if shape(seed) in seen:
                    continue
                seen.add(shape(seed))
                (folder / f"seed-{recording['name']}-{nth}").write_bytes(seed)


if __name__ == "__main__":
    main()
