# A bit of everything that perl programs do with the system: sockets, forks, threads, pipes, signals, files. Says the
# same in each run, and ends with 9.
use strict;
use warnings;
use threads;
use threads::shared;
use Fcntl qw(:flock);
use IO::Select;
use IO::Socket::INET;
use IPC::Open3;
use POSIX qw(:sys_wait_h :signal_h);
use Socket;
use Thread::Queue;
use Time::HiRes qw(ualarm);

$| = 1;
open STDERR, '>&', \*STDOUT;

# A forked server around select, and its clients.
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die;
my $server = fork // die;
if (!$server) {
    my ($set, $over, %said) = (IO::Select->new($listener), 0);
    while ($over < 30) {
        for my $ready ($set->can_read) {
            if ($ready == $listener) { $set->add($listener->accept); next }
            if (!sysread $ready, my $text, 100) { $set->remove($ready); close $ready; $over++ }
            else {
                $said{$ready} .= $text;
                syswrite $ready, uc $1 while $said{$ready} =~ s/^(.*\n)//;
            }
        }
    }
    exit 7;
}
my @clients = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->sockport) or die } 1 .. 30;
for my $round (1 .. 20) {
    for (0 .. $#clients) { print { $clients[$_] } "client $_ round $round\n"; $clients[$_]->flush }
    print "got ", scalar readline $clients[$_] for 0 .. $#clients;
}
close $_ for @clients;
waitpid $server, 0;
print "server ", $? >> 8, "\n";

# Threads, with queues between them.
my ($in, $out) = (Thread::Queue->new, Thread::Queue->new);
my @workers = map { threads->create(sub { while (defined(my $n = $in->dequeue)) { $out->enqueue($n * $n) } 3 }) } 1 .. 6;
$in->enqueue($_) for 1 .. 500;
$in->end;
my $sum = 0;
$sum += $out->dequeue for 1 .. 500;
print "sum $sum, joined ", join(' ', map { $_->join } @workers), "\n";
my $shared : shared = 0;
$_->join for map { threads->create(sub { for (1 .. 200) { lock $shared; $shared++ } }) } 1 .. 8;
print "shared $shared\n";
my $dying = threads->create(sub { die "in a thread\n" });
$dying->join;
print "error ", $dying->error;

# Children, pipes, statuses.
print "backticks ", scalar `echo out; exit 3`, $? >> 8, "\n";
print "system ", system('sh', '-c', 'kill -TERM $$') & 127, " ", system('exit 5;') >> 8, " ", system('/nonexistent'), " ", $! + 0, "\n";
open my $pipe, '-|', 'seq 5' or die;
print "from a pipe ", <$pipe>;
close $pipe;
open $pipe, '|-', 'sort -rn; exit 4' or die;
print $pipe "$_\n" for 1 .. 5;
close $pipe;
print "closed ", $? >> 8, "\n";
my $pid = open3(my $to, my $from, undef, 'sh', '-c', 'cat; echo err >&2; exit 6');
print $to "through\n";
close $to;
print "open3 ", sort <$from>;
waitpid $pid, 0;
print $? >> 8, "\n";
$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
for (1 .. 20) { my $child = fork // die; POSIX::_exit(0) if !$child }
1 while wait != -1;
print "no children ", $! + 0, "\n";
$SIG{CHLD} = 'DEFAULT';

# Signals that interrupt, and wait.
my $alarms = 0;
$SIG{ALRM} = sub { die "alarm\n" if ++$alarms == 3 };
for (1 .. 3) {
    pipe my $reader, my $writer;
    ualarm 20000;
    my $got = eval { sysread $reader, my $text, 1 };
    print "interrupted ", $got // 'undef', " ", $! + 0, " ", $@ || "\n";
}
my ($set, $got) = (POSIX::SigSet->new(SIGUSR1), 0);
$SIG{USR1} = sub { $got++ };
sigprocmask(SIG_BLOCK, $set);
kill USR1 => $$;
print "blocked $got, ";
sigprocmask(SIG_UNBLOCK, $set);
print "then $got\n";

# Datagrams, files.
socketpair my $one, my $other, AF_UNIX, SOCK_DGRAM, PF_UNSPEC;
syswrite $one, 'd' x 100;
syswrite $one, '';
print "datagrams ", sysread($other, my $first, 10), " ", sysread($other, my $second, 10), "\n";
open my $file, '+>', 'file' or die;
flock $file, LOCK_EX;
print $file "line $_\n" for 1 .. 1000;
seek $file, 0, 0;
my @lines = <$file>;
print scalar(@lines), " $lines[999]";
truncate $file, 10;
print -s 'file', "\n";
exit 9;
