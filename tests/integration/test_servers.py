import asyncpg
import redis


def test_redis(redis_url, stream_name):
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.xadd(stream_name, {"a": 1})


async def test_database(database_url):
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()


async def test_lazy(request):
    assert request.getfixturevalue("postgres_url")


def test_own(own_redis, own_postgres):
    own_redis.kill()
    own_redis.start()
    own_postgres.stop()
    own_postgres.start()
