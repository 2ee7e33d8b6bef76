<?php

// The skeleton's file, with what a release without a failed request needs. Not run by our tests (they have no Swoole): its syntax is
// checked, and the release of it is planned.
declare(strict_types=1);

use Hyperf\Framework\Bootstrap\PipeMessageCallback;
use Hyperf\Framework\Bootstrap\WorkerExitCallback;
use Hyperf\Framework\Bootstrap\WorkerStartCallback;
use Hyperf\Server\Event;
use Hyperf\Server\Server;

use function Hyperf\Support\env;

return [
    'mode' => SWOOLE_PROCESS,
    'servers' => [
        [
            'name' => 'http',
            'type' => Server::SERVER_HTTP,
            'host' => env('BLUEGREEN_ADDRESS', '127.0.0.1'),
            'port' => (int) env('PORT', 9501), // from the launcher: leave PORT out of .env
            'sock_type' => SWOOLE_SOCK_TCP,
            'callbacks' => [
                Event::ON_REQUEST => [Hyperf\HttpServer\Server::class, 'onRequest'],
            ],
        ],
    ],
    'settings' => [
        'enable_coroutine' => true,
        'worker_num' => 2,
        'pid_file' => BASE_PATH . '/runtime/hyperf.pid', // each slot has a copy of its own
        'max_coroutine' => 100000,
        'max_wait_time' => 10, // seconds that a worker has for its requests at the stop; Swoole's own default is 3
        'reload_async' => true,
    ],
    'callbacks' => [
        Event::ON_WORKER_START => [WorkerStartCallback::class, 'onWorkerStart'],
        Event::ON_PIPE_MESSAGE => [PipeMessageCallback::class, 'onPipeMessage'],
        Event::ON_WORKER_EXIT => [WorkerExitCallback::class, 'onWorkerExit'], // timers of workers end here
    ],
];
