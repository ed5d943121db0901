package balance_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
)

// shared makes shared counters that are closed when the test ends.
func shared(tb testing.TB, rows, hosts int) *balance.Counters {
	tb.Helper()
	c, err := balance.NewShared(rows, hosts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// mapped attaches to c once more, as another process would.
func mapped(tb testing.TB, c *balance.Counters) *balance.Counters {
	tb.Helper()
	m, err := balance.MapCounters(dup(tb, c.FD()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	return m
}

func dup(tb testing.TB, fd int) int {
	tb.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func take(tb testing.TB, c *balance.Counters) int {
	tb.Helper()
	row, err := c.TakeRow()
	if err != nil {
		tb.Fatal(err)
	}
	return row
}

func TestWhatOneMappingCountsTheOtherSees(t *testing.T) {
	t.Parallel()
	a := shared(t, 4, 100)
	b := mapped(t, a)
	if b.Rows() != 4 || b.Hosts() != 100 {
		t.Fatalf("%d rows for %d hosts", b.Rows(), b.Hosts())
	}
	ids := []int{99, 0}
	ga, gb := groupOf(t, "round_robin", ids, a), groupOf(t, "round_robin", ids, b)
	ra, rb := take(t, a), take(t, b)
	if ra != 0 || rb != 1 {
		t.Errorf("rows %d and %d", ra, rb)
	}
	la, _ := ga.Acquire(ra, nil, tried(), 0)
	lb, _ := gb.Acquire(rb, nil, tried(), 0)
	if la.Host() != 0 || lb.Host() != 1 {
		t.Errorf("the turns are not one: hosts %d and %d", la.Host(), lb.Host())
	}
	for i := range 2 {
		if x, y := countsOf(ga, i), countsOf(gb, i); x != (counts{active: 1}) || x != y {
			t.Errorf("host %d: %+v and %+v", i, x, y)
		}
	}
	la.Release(balance.Outcome{Class: balance.Served}, 0)
	lb.Release(balance.Outcome{Class: balance.Failed}, 0)
	if x, y := countsOf(gb, 0), countsOf(ga, 1); x != (counts{served: 1}) || y != (counts{failed: 1}) {
		t.Errorf("%+v, %+v", x, y)
	}
}

func TestRowsAreTakenAndCleared(t *testing.T) {
	t.Parallel()
	const rows = 3
	for name, c := range map[string]*balance.Counters{"shared": shared(t, rows, 10), "private": balance.NewCounters(rows, 10)} {
		if c.FD() < 0 { // all rows are taken from the start
			for row := range rows {
				c.ClearRow(row)
			}
		}
		g := groupOf(t, "first", []int{4, 9}, c)
		for want := range rows {
			if row := take(t, c); row != want {
				t.Fatalf("%s: row %d, want %d", name, row, want)
			}
		}
		if row, err := c.TakeRow(); !errors.Is(err, balance.ErrNoRow) {
			t.Fatalf("%s: row %d was taken, %v", name, row, err)
		}
		for row := range rows {
			for _, o := range []balance.Class{balance.Served, balance.Failed} {
				l, _ := g.Acquire(row, nil, tried(), 0)
				l.Release(balance.Outcome{Class: o}, 0)
			}
			g.Acquire(row, nil, tried(), 0)
			g.Acquire(row, nil, tried(0), 0)
		}
		c.ClearRow(1)
		// The writer's leases are gone, but not its totals.
		for i, want := range []counts{{active: 2, served: 3, failed: 3}, {active: 2}} {
			if got := countsOf(g, i); got != want {
				t.Errorf("%s, host %d: %+v, want %+v", name, i, got, want)
			}
		}
		if row := take(t, c); row != 1 {
			t.Errorf("%s: row %d was taken after 1 was cleared", name, row)
		}
		l, _ := g.Acquire(1, nil, tried(), 0)
		l.Release(balance.Outcome{Class: balance.Served}, 0)
		if got := countsOf(g, 0); got != (counts{active: 2, served: 4, failed: 3}) {
			t.Errorf("%s: with the next writer: %+v", name, got)
		}
	}
}

func TestRowsOfTheDeadAreTaken(t *testing.T) {
	t.Parallel()
	c := shared(t, 8, 10)
	alive := func(want bool) func(int) bool {
		return func(pid int) bool {
			if pid != os.Getpid() {
				t.Errorf("a row was taken by process %d", pid)
			}
			return want
		}
	}
	if row, ok := c.TakeOrphan(alive(false)); ok {
		t.Errorf("row %d was taken, which nobody had", row)
	}
	take(t, c)
	last := take(t, c)
	c.ClearRow(0)
	if free := c.FreeRows(3); !slices.Equal(free, []int{0, last + 1, last + 2}) {
		t.Errorf("the next rows are %v", free)
	}
	if row, ok := c.TakeOrphan(alive(true)); ok {
		t.Errorf("row %d was taken, though who has it is alive", row)
	}
	if row, ok := c.TakeOrphan(alive(false)); !ok || row != last {
		t.Errorf("row %d was taken, %t; want %d", row, ok, last)
	}
}

// A master and its successor may take rows concurrently.
func TestRowsHaveOneTaker(t *testing.T) {
	t.Parallel()
	const rows = 64
	a := shared(t, rows, 10)
	taken := make(chan int, rows)
	var wg sync.WaitGroup
	for _, c := range []*balance.Counters{a, mapped(t, a), mapped(t, a)} {
		wg.Go(func() {
			for {
				row, err := c.TakeRow()
				if err != nil {
					return
				}
				taken <- row
			}
		})
	}
	wg.Wait()
	close(taken)
	var all []int
	for row := range taken {
		all = append(all, row)
	}
	slices.Sort(all)
	if len(all) != rows || len(slices.Compact(all)) != rows {
		t.Errorf("taken: %v", all)
	}
}

// Capacity costs nothing: neither memory before a row and a host are used, nor time for rows that never were.
func TestRoomCostsNothing(t *testing.T) {
	t.Parallel()
	pages := func(c *balance.Counters) int64 {
		var st unix.Stat_t
		if err := unix.Fstat(c.FD(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512 / int64(os.Getpagesize())
	}
	c := shared(t, balance.MaxRows, balance.MaxHosts)
	r := balance.NewRegistry(c)
	keys := []string{"a", "b", "c"}
	g := groupOf(t, "least_conn", assign(t, r, keys...), c)
	r.Commit()
	for range 4 {
		row := take(t, c)
		l, _ := g.Acquire(row, nil, tried(), 0)
		l.Release(balance.Outcome{Class: balance.Served}, 0)
		g.Acquire(row, nil, tried(), 0)
		c.ClearRow(row)
		take(t, c)
	}
	assign(t, r, "d")
	// The head, the turns, and for each row a page or two per kind of cell.
	if n := pages(c); n > 4+4*6 {
		t.Errorf("%d pages were touched", n)
	}
	var st unix.Stat_t
	_ = unix.Fstat(c.FD(), &st)
	t.Logf("%d of %d KiB touched", pages(c)*int64(os.Getpagesize())/1024, st.Size/1024)
}

func TestMapRefuses(t *testing.T) {
	t.Parallel()
	memory := func(size int64) int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Ftruncate(fd, size); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	// altered returns a copy of intact counters' memory with one word of the head changed.
	altered := func(word int, value uint64, size int64) int {
		c := shared(t, 3, 20)
		take(t, c)
		var st unix.Stat_t
		if err := unix.Fstat(c.FD(), &st); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, st.Size)
		if _, err := unix.Pread(c.FD(), b, 0); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint64(b[word*8:], value)
		fd := memory(st.Size + size)
		if _, err := unix.Pwrite(fd, b, 0); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	for _, c := range []struct {
		what string
		fd   int
		says string
	}{
		{"empty", memory(0), "0 words"},
		{"a word and a half", memory(12), "1 words"},
		{"zeros", memory(1 << 20), "magic number is 0x0"},
		{"magic", altered(0, 7, 0), "magic number is 0x7"},
		{"layout", altered(1, 1, 0), "layout 1, this program needs 4"},
		{"rows", altered(2, 4, 0), "4 rows for 20 hosts"},
		{"no rows", altered(2, 0, 0), "0 rows"},
		{"too many rows", altered(2, 1<<40, 0), "rows"},
		{"hosts", altered(3, 28, 0), "3 rows for 28 hosts"},
		{"no hosts", altered(3, 0, 0), "0 hosts"},
		{"too many hosts", altered(3, 1<<62, 0), "hosts"},
		{"rows in use", altered(8, 4, 0), "4 of 3 rows"},
		{"hosts in use", altered(9, 21, 0), "21 of 20 hosts"},
		{"longer", altered(8, 0, 4096), "there are"},
	} {
		m, err := balance.MapCounters(c.fd)
		if !errors.Is(err, balance.ErrLayout) || !strings.Contains(err.Error(), c.says) || m != nil {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
	}
	m, err := balance.MapCounters(altered(8, 3, 0)) // the method of altering is sound
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	// Not memory at all.
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := balance.MapCounters(null); err == nil {
		t.Errorf("/dev/null was mapped: %v", m)
	}
	if m, err := balance.MapCounters(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v, %v", m, err)
	}
}

// Nobody can shrink the memory under the others.
func TestSharedMemoryKeepsItsSize(t *testing.T) {
	t.Parallel()
	c := shared(t, 1, 1)
	for _, size := range []int64{0, 1 << 20} {
		if err := unix.Ftruncate(c.FD(), size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncating to %d: %v", size, err)
		}
	}
}

// This runs in its own process, because it lowers a limit, and because there nobody else reuses the number of a closed descriptor.
func TestSharedMemoryThatCannotBeHad(t *testing.T) {
	const env = "KROXY_EV_TEST_NO_DESCRIPTORS"
	if os.Getenv(env) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	c := shared(t, 1, 1)
	readOnly, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", c.FD()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fd   int
		want error
	}{{readOnly, unix.EACCES}, {p[0], balance.ErrLayout}, {-1, unix.EBADF}} {
		if m, err := balance.MapCounters(c.fd); !errors.Is(err, c.want) || m != nil {
			t.Errorf("%v, want %v", err, c.want)
		}
		if _, err := unix.FcntlInt(uintptr(c.fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
			t.Errorf("the descriptor was not closed: %v", err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 0}); err != nil {
		t.Fatal(err)
	}
	if c, err := balance.NewShared(1, 1); !errors.Is(err, unix.EMFILE) || c != nil || !strings.HasPrefix(err.Error(), "balance: while making shared counters: memfd_create") {
		t.Errorf("%v", err)
	}
}
