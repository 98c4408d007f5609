#!/usr/bin/env python3
"""Writes the seeds of every corpus, `fuzz/corpus/TARGET/seed-*`, from the recordings in tests/vectors.

The other files there are finds of the fuzzers, kept because they were bugs once or reach code that no recording does.
What a seed's first bytes mean stands at the head of each body, in crates/channel-proto/src/fuzz/.
"""

import json
import pathlib
import struct

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


OPS = ["WriteStdin", "CloseStdin", "Resize", "Disconnect", "WriteOutput", "WriteOutputBytes", "Finish", "Transmit",
       "Receive", "Settle", "Pause", "Resume", "Sleep", "Abort", "Cut"]


def choice(index, count):
    """A variant of an enum, as the crate `arbitrary` reads it."""
    return struct.pack("<I", -(-(index << 32) // count))


def op(name, *fields):
    return choice(OPS.index(name), len(OPS)) + b"".join(fields)


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


def shape(seed):
    """What makes a seed worth keeping beside others: not the text in it."""
    return (seed[:3], len(seed) // 64) if len(seed) < 600 else seed[:3]


def main():
    targets = {"channel_frame": channel_frames, "websocket_bytes": websocket_bytes,
               "upgrade_response": upgrade_response, "upgrade_request": upgrade_request,
               "exec_session": exec_session}
    recordings = [json.loads(path.read_text()) for path in sorted(VECTORS.glob("*/*.json"))]
    for target, seeds in targets.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("seed-*"):
            old.unlink()
        seen = set()
        for recording in recordings:
            if "spdy" in recording["name"] or any(m["opcode"] == "spdy" for m in recording["messages"]):
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
