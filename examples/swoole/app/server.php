<?php

// Quotes over HTTP and WebSocket with Swoole 5 or later, in its default mode, SWOOLE_PROCESS. Not run by our tests (they have no
// Swoole): its syntax is checked, and the release of it is planned. What it says of the stop was measured (docs/runtimes.md).
// /health answers 200 once the quotes are read. /slow takes three seconds: ask it during a release.
declare(strict_types=1);

use Swoole\Atomic;
use Swoole\Coroutine;
use Swoole\Http\Request;
use Swoole\Http\Response;
use Swoole\Timer;
use Swoole\WebSocket\Frame;
use Swoole\WebSocket\Server;

const RESTART = 1012; // a WebSocket's goodbye: the client shall come back
const MAX_WAIT = 10; // seconds that a worker has for its requests at the stop; Swoole's own default is 3
const DEADLINE = 5; // seconds in which requests may end before Swoole 6.1 and later cut their connections

$release = basename(__DIR__); // the directory's name is the release: it shows which code answers
$busy = new Atomic(0); // requests in work, in all workers
$quotes = [];

$server = new Server(getenv('BLUEGREEN_ADDRESS') ?: '127.0.0.1', (int) getenv('PORT'), SWOOLE_PROCESS);
$server->set(['worker_num' => 2, 'max_wait_time' => MAX_WAIT]); // no pid_file and no daemonize: supervisor keeps the program

$server->on('workerStart', function () use (&$quotes): void {
    $quotes = json_decode((string) file_get_contents(__DIR__ . '/quotes.json'), true, 8, JSON_THROW_ON_ERROR);
});

$server->on('message', function (Server $server, Frame $frame): void {
    // Write the message down first; what is not acknowledged is sent again.
    $server->push($frame->fd, $frame->data);
});

$server->on('request', function (Request $request, Response $response) use ($server, $release, $busy, &$quotes): void {
    $busy->add();
    try {
        $response->header('X-Release', $release);
        switch ($request->server['request_uri']) {
            case '/health':
                $response->status($quotes ? 200 : 503);
                $response->end($quotes ? 'ok' : 'no quotes');
                break;
            case '/drain': // bluegreen_drain_url: each client leaves at a moment of its own. In this mode one worker sees those of all
                $known = hash_equals(getenv('DRAIN_TOKEN') ?: random_bytes(16), $request->header['x-drain-token'] ?? '');
                if ($known) {
                    goodbye($server, (float) ($request->get['seconds'] ?? 10));
                }
                $response->status($known ? 202 : 403);
                $response->end();
                break;
            case '/slow':
                Coroutine::sleep(3);
                $response->end('done');
                break;
            default:
                $response->header('Content-Type', 'application/json');
                $response->end(json_encode($quotes));
        }
    } finally {
        $busy->sub();
    }
});

// Swoole 6.1 and later cut all connections as soon as they are told to stop. Requests that are in work end before that.
$server->on('beforeShutdown', function () use ($busy): void {
    $end = microtime(true) + DEADLINE;
    while ($busy->get() > 0 && microtime(true) < $end) {
        usleep(50000);
    }
});

// A timer that is left alive lets every stop take max_wait_time.
$server->on('workerExit', fn () => Timer::clearAll());

function goodbye(Server $server, float $window): void
{
    foreach ($server->connections as $client) {
        if ($server->isEstablished($client)) {
            $moment = max(1, (int) (1000 * $window * mt_rand() / mt_getrandmax()));
            Timer::after($moment, fn () => $server->disconnect($client, RESTART, 'moving to another server'));
        }
    }
}

$server->start();
