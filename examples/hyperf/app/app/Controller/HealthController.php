<?php

declare(strict_types=1);

namespace App\Controller;

use Hyperf\DbConnection\Db;
use Hyperf\HttpServer\Contract\ResponseInterface;
use Psr\Http\Message\ResponseInterface as Answer;

/** What the health check asks: 200 if the database answers; an exception is a 500, and the member is not healthy. */
class HealthController
{
    public function index(ResponseInterface $response): Answer
    {
        Db::select('SELECT 1');
        return $response->raw('ok')->withHeader('X-Release', basename(BASE_PATH)); // the directory's name is the release
    }
}
