// A small kubectl made of the JavaScript client, for clients.py: `driver.mjs exec|attach|port-forward|cp|get …`.

import net from 'node:net';
import { parseArgs } from 'node:util';
import { Attach, CoreV1Api, Cp, Exec, KubeConfig, PortForward } from '@kubernetes/client-node';

const NO_STATUS = 70;
const NOT_RUN = 126;

const { values: flags, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        kubeconfig: { type: 'string' },
        stdin: { type: 'boolean', short: 'i' },
        tty: { type: 'boolean', short: 't' },
        verbose: { type: 'boolean', short: 'v' },
        container: { type: 'string', default: 'main' },
    },
});
const [action, pod, ...rest] = positionals;
const config = new KubeConfig();
config.loadFromFile(flags.kubeconfig);

const tell = (...what) => flags.verbose && console.error(...what);

/** Waits until the socket is closed, and leaves with the exit code. */
async function session(open) {
    const stdin = flags.stdin ? process.stdin : null;
    if (flags.tty) {
        process.stdin.setRawMode(true);
    }
    let ended;
    const socket = await open(process.stdout, flags.tty ? null : process.stderr, stdin, (status) => (ended = status));
    tell('subprotocol:', socket.protocol);
    const { code, reason } = await new Promise((resolve) => socket.addEventListener('close', resolve));
    tell('status:', JSON.stringify(ended));
    tell('closed:', code, reason);
    process.stdin.destroy();
    process.exitCode = exitCode(ended);
}

function exitCode(status) {
    if (status === undefined) {
        return NO_STATUS;
    }
    if (status.status === 'Success') {
        return 0;
    }
    const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
    if (cause === undefined) {
        console.error(status.message);
        return NOT_RUN;
    }
    return Number(cause.message);
}

/** An upgrade for each connection to a local port. */
function forward(port) {
    const forwards = new PortForward(config);
    const [name, kind] = pod.split('/').reverse();
    const open = (kind === 'deployment' ? forwards.portForwardDeployment : forwards.portForward).bind(forwards);
    const listener = net.createServer(async (local) => {
        local.on('error', () => {}); // It may go at any time.
        try {
            const socket = await open('default', name, [port], local, process.stderr, local);
            tell('subprotocol:', socket.protocol);
            // The client does not end what it writes to.
            socket.addEventListener('close', ({ code }) => {
                tell('closed:', code);
                local.end();
            });
        } catch (error) {
            console.error(error.message);
            local.destroy();
        }
    });
    listener.listen(0, '127.0.0.1', () => console.log(`Forwarding from 127.0.0.1:${listener.address().port} -> ${port}`));
}

/** The promises of cp resolve at once: it is done when nothing is left to do. */
function copy([direction, from, to]) {
    const cp = new Cp(config);
    return direction === 'up'
        ? cp.cpToPod('default', pod, flags.container, from, to)
        : cp.cpFromPod('default', pod, flags.container, '.', to, from);
}

const actions = {
    exec: () => session((out, err, stdin, status) =>
        new Exec(config).exec('default', pod, flags.container, rest, out, err, stdin, Boolean(flags.tty), status)),
    attach: () => session((out, err, stdin) =>
        new Attach(config).attach('default', pod, flags.container, out, err, stdin, Boolean(flags.tty))),
    'port-forward': () => rest.forEach((port) => forward(Number(port.replace(':', '')))),
    cp: () => copy(rest),
    get: async () => {
        const found = await config.makeApiClient(CoreV1Api).readNamespacedPod({ name: pod, namespace: 'default' });
        console.log(found.status.phase);
    },
};

try {
    await actions[action]();
} catch (error) {
    console.error(error.message);
    process.exitCode = 1;
}
