<?php
/**
 * What the container's cgroup says of CPU and memory, of version 1 and 2. Loaded once a second per pod, when the agent asks.
 *
 * Body of RESOURCES: u64 read_at | u64 CPU | u64 throttled (all µs) | u64 working set | u64 limit (bytes, 0: none) |
 * u32 quota (millicores, 0: none) | u32 processes killed for want of memory. No message when there is no cgroup to be read.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Resources
{
    private const NO_LIMIT = 1 << 60;

    /** @var string */
    private $root;

    /** @var string this process's place below a hierarchy, '' in a container with a cgroup namespace of its own */
    private $membership;

    /** @param string $root where cgroup file systems are mounted; $membership the text of /proc/self/cgroup, null: read that */
    public function __construct(string $root = '/sys/fs/cgroup', ?string $membership = null)
    {
        $this->root = $root;
        $this->membership = $membership ?? (string) \file_get_contents('/proc/self/cgroup');
    }

    /** Null without figures. */
    public function body(): ?string
    {
        $values = $this->read();
        return $values === null ? null : \pack('P5V2', \intdiv(\hrtime(true), 1000), ...$values);
    }

    /** [CPU µs, throttled µs, working set, limit, quota in millicores, OOM kills]; null without figures. */
    public function read(): ?array
    {
        $folder = $this->folder('');
        $isVersion2 = \is_file($folder . '/cpu.stat') && \is_file($folder . '/memory.current');
        return $isVersion2 ? $this->readVersion2($folder) : $this->readVersion1();
    }

    private function readVersion2(string $folder): array
    {
        $cpu = self::table($folder . '/cpu.stat');
        $max = \explode(' ', self::text($folder . '/cpu.max'));
        $unused = self::table($folder . '/memory.stat')['inactive_file'] ?? 0;
        return [
            $cpu['usage_usec'] ?? 0,
            $cpu['throttled_usec'] ?? 0,
            \max(0, (int) self::text($folder . '/memory.current') - $unused),
            self::limit(self::text($folder . '/memory.max')),
            self::millicores((int) $max[0], (int) ($max[1] ?? 0)),
            self::table($folder . '/memory.events')['oom_kill'] ?? 0,
        ];
    }

    private function readVersion1(): ?array
    {
        $cpuacct = $this->folder('cpuacct');
        $cpu = $this->folder('cpu');
        $memory = $this->folder('memory');
        $nanoseconds = self::text($cpuacct . '/cpuacct.usage');
        $used = self::text($memory . '/memory.usage_in_bytes');
        if ($nanoseconds === '' || $used === '') {
            return null;
        }
        $unused = self::table($memory . '/memory.stat')['total_inactive_file'] ?? 0;
        return [
            \intdiv((int) $nanoseconds, 1000),
            \intdiv(self::table($cpu . '/cpu.stat')['throttled_time'] ?? 0, 1000),
            \max(0, (int) $used - $unused),
            self::limit(self::text($memory . '/memory.limit_in_bytes')),
            self::millicores((int) self::text($cpu . '/cpu.cfs_quota_us'), (int) self::text($cpu . '/cpu.cfs_period_us')),
            self::table($memory . '/memory.oom_control')['oom_kill'] ?? 0,
        ];
    }

    /** The folder of this process in the hierarchy of a controller, or in the one of version 2 (''). */
    private function folder(string $controller): string
    {
        $mount = $controller === '' ? $this->root : $this->root . '/' . $controller;
        foreach (\explode("\n", $this->membership) as $line) {
            $parts = \explode(':', $line, 3);
            if (\count($parts) === 3 && \in_array($controller, \explode(',', $parts[1]), true)) {
                $folder = $mount . \rtrim($parts[2], '/');
                return \is_dir($folder) ? $folder : $mount; // the path is the node's, the mount may be the container's own
            }
        }
        return $mount;
    }

    /** `name value` on each line. */
    private static function table(string $file): array
    {
        $found = [];
        foreach (\explode("\n", self::text($file)) as $line) {
            $parts = \explode(' ', $line);
            if (\count($parts) === 2) {
                $found[$parts[0]] = (int) $parts[1];
            }
        }
        return $found;
    }

    private static function text(string $file): string
    {
        return \is_file($file) ? \trim((string) \file_get_contents($file)) : '';
    }

    private static function limit(string $text): int
    {
        return \is_numeric($text) && (int) $text < self::NO_LIMIT ? (int) $text : 0; // `max` is no number
    }

    private static function millicores(int $quota, int $period): int
    {
        return $quota > 0 && $period > 0 ? \intdiv($quota * 1000, $period) : 0;
    }
}
