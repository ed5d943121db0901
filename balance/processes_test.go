package balance_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kroxy-ev/balance"
)

// writerEnv names the row and the algorithm of a writer process.
const writerEnv = "KROXY_EV_TEST_WRITER"

// writerHosts are the ids that writer processes count under.
var writerHosts = []int{3, 1, 7, 900, 20}

// TestWriterProcess is not a test: it is the main function of the child processes of the tests below. Each line that it reads is a number: it
// acquires
// that many leases, or releases that many of the oldest if the number is negative, and prints the hosts.
func TestWriterProcess(t *testing.T) {
	row, algorithm, ok := strings.Cut(os.Getenv(writerEnv), " ")
	if !ok {
		t.SkipNow()
	}
	n, _ := strconv.Atoi(row)
	c, err := balance.MapCounters(3)
	if err != nil {
		t.Fatal(err)
	}
	g := groupOf(t, algorithm, writerHosts, c)
	var held []balance.Lease
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		count, _ := strconv.Atoi(lines.Text())
		var hosts []string
		for ; count > 0; count-- {
			l, ok := g.Acquire(n, nil, tried(), 0)
			if !ok {
				t.Fatal("no host")
			}
			held = append(held, l)
			hosts = append(hosts, strconv.Itoa(l.Host()))
		}
		for ; count < 0; count++ {
			held[0].Release(balance.Outcome{Class: balance.Served}, 0)
			hosts = append(hosts, strconv.Itoa(held[0].Host()))
			held = held[1:]
		}
		fmt.Println("hosts", strings.Join(hosts, " "))
	}
}

// writer is a child process that holds leases.
type writer struct {
	cmd *exec.Cmd
	row int
	in  io.WriteCloser
	out *bufio.Scanner
}

// startWriter starts a child with a row of c that is taken for it.
func startWriter(tb testing.TB, c *balance.Counters, algorithm string) *writer {
	tb.Helper()
	w := &writer{row: take(tb, c)}
	w.cmd = exec.Command(os.Args[0], "-test.run=^TestWriterProcess$", "-test.count=1")
	w.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", writerEnv, w.row, algorithm))
	memory := os.NewFile(uintptr(dup(tb, c.FD())), "counters")
	defer memory.Close()
	w.cmd.ExtraFiles = []*os.File{memory}
	w.cmd.Stderr = os.Stderr
	w.in, _ = w.cmd.StdinPipe()
	out, _ := w.cmd.StdoutPipe()
	w.out = bufio.NewScanner(out)
	w.out.Buffer(nil, 1<<20)
	if err := w.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(w.kill)
	return w
}

// kill is kill -9. It returns when the process is gone.
func (w *writer) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// ask makes the child acquire (n > 0) or release leases; answer returns the hosts.
func (w *writer) ask(n int) { _, _ = fmt.Fprintln(w.in, n) }

func (w *writer) answer(tb testing.TB) []int {
	tb.Helper()
	if !w.out.Scan() {
		tb.Fatalf("the writer of row %d is gone: %v", w.row, w.out.Err())
	}
	var hosts []int
	for _, f := range strings.Fields(strings.TrimPrefix(w.out.Text(), "hosts")) {
		i, err := strconv.Atoi(f)
		if err != nil {
			tb.Fatalf("the writer of row %d said %q", w.row, w.out.Text())
		}
		hosts = append(hosts, i)
	}
	return hosts
}

// active returns the number of leases of each host, and the difference between the most and the least.
func active(g *balance.Group) (all []int64, spread int64) {
	for i := range g.Hosts().Len() {
		all = append(all, g.Hosts().Active(i))
	}
	return all, slices.Max(all) - slices.Min(all)
}

func TestLeastConnOverProcesses(t *testing.T) {
	t.Parallel()
	const writers, rounds = 4, 25
	c := shared(t, 16, 1000)
	g := groupOf(t, "least_conn", writerHosts, c)
	var all []*writer
	for range writers {
		all = append(all, startWriter(t, c, "least_conn"))
	}
	held := 0
	lockstep := func(what string, rounds int) {
		t.Helper()
		for range rounds {
			for _, w := range all {
				w.ask(1)
				w.answer(t)
				held++
				counts, spread := active(g)
				var sum int64
				for _, n := range counts {
					sum += n
				}
				if spread > 1 || sum != int64(held) {
					t.Fatalf("%s: %d leases are counted as %v", what, held, counts)
				}
			}
		}
	}
	lockstep("from the start", rounds)

	// One is killed with its leases. Those of the others may be uneven, and later choices even them out.
	dead := all[1]
	dead.kill()
	if counts, spread := active(g); spread > 1 {
		t.Fatalf("before the row is cleared: %v", counts)
	}
	c.ClearRow(dead.row)
	held -= rounds
	counts, _ := active(g)
	short := 0
	for _, n := range counts {
		short += int(slices.Max(counts) - n)
	}
	all[1] = startWriter(t, c, "least_conn")
	if all[1].row != dead.row {
		t.Errorf("the successor has row %d, want %d", all[1].row, dead.row)
	}
	all[1].ask(short)
	all[1].answer(t)
	held += short
	if counts, spread := active(g); spread != 0 {
		t.Fatalf("%d more did not make it even: %v", short, counts)
	}
	lockstep("after a kill", rounds)

	// All leases are given back where they were counted.
	for _, w := range all {
		w.ask(-rounds)
	}
	for _, w := range all {
		w.answer(t)
	}
	all[1].ask(-short)
	all[1].answer(t)
	for _, w := range []*writer{all[0], all[2], all[3]} {
		w.ask(-rounds)
		w.answer(t)
	}
	if counts, _ := active(g); slices.Max(counts) != 0 || slices.Min(counts) != 0 {
		t.Errorf("all was released, and there are %v", counts)
	}
}

// With concurrent callers, a choice may be based on counts that another caller is just changing: then the error is at most one per writer, and it
// does
// not grow.
func TestLeastConnOverProcessesAtOnce(t *testing.T) {
	t.Parallel()
	const writers, rounds, each = 4, 20, 200
	c := shared(t, 16, 1000)
	g := groupOf(t, "least_conn", writerHosts, c)
	var all []*writer
	for range writers {
		all = append(all, startWriter(t, c, "least_conn"))
	}
	for round := range rounds {
		for _, n := range []int{each, -each / 2} {
			for _, w := range all {
				w.ask(n)
			}
			for _, w := range all {
				w.answer(t)
			}
			if n < 0 {
				continue // the oldest leases were released, of whatever hosts
			}
			if counts, spread := active(g); spread > writers {
				t.Errorf("round %d: %v", round, counts)
			}
		}
	}
}

// All processes share one turn.
func TestRoundRobinOverProcesses(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 1000
	c := shared(t, 16, 1000)
	var all []*writer
	for range writers {
		all = append(all, startWriter(t, c, "round_robin"))
	}
	for i, w := range all { // the first lease of each goes to a different host
		w.ask(1)
		if got := w.answer(t); !slices.Equal(got, []int{i}) {
			t.Errorf("writer %d chose %v", i, got)
		}
	}
	for _, w := range all {
		w.ask(each)
	}
	for _, w := range all {
		w.answer(t)
	}
	if counts, spread := active(groupOf(t, "round_robin", writerHosts, c)); spread > 1 {
		t.Errorf("%v", counts)
	}
}
