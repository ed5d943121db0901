package metrics

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Table is all rows and the places of all series, as the process that reads the configuration has them. Any goroutine may call its methods.
//
// A row keeps what it has when its writer ends, and the next writer goes on from there, so no counter ever falls; only what the writer held ends
// with it: see ClearGauges.
type Table struct {
	mu      sync.Mutex
	own     *Row         // no writer's; it has the Service
	rows    map[int]*Row // by number
	series  map[Series]*placed
	next    Place // where the next new place begins
	commits int
}

// NewTable makes a table with no row and no series.
func NewTable() (*Table, error) {
	own, err := newSharedRow()
	if err != nil {
		return nil, err
	}
	return tableOf(own), nil
}

func tableOf(own *Row) *Table {
	return &Table{own: own, rows: make(map[int]*Row), series: make(map[Series]*placed), next: Place(seriesAt)}
}

// Row returns the row of that number, and makes it if there is none yet. The caller sees to it that each number has one writer at a time.
func (t *Table) Row(n int) (*Row, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[n]; r != nil {
		return r, nil
	}
	r, err := newSharedRow()
	if err != nil {
		return nil, err
	}
	t.rows[n] = r
	return r, nil
}

// ClearGauges makes all gauges of row n zero, since its writer is gone and holds nothing any more. The writer must not run any more: wait for
// its process first.
func (t *Table) ClearGauges(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[n]
	if r == nil {
		return
	}
	for s, at := range t.series {
		for _, word := range declared().gauges[s.Kind] {
			clearWord(&r.words[int(at.Place)+word])
		}
	}
	for _, word := range declared().gauges[KindProcess] {
		clearWord(&r.words[processAt+word])
	}
}

// clearWord does not touch a page that was never written.
func clearWord(p *uint64) {
	if atomic.LoadUint64(p) != 0 {
		atomic.StoreUint64(p, 0)
	}
}

// Rows are the numbers of the rows that there are.
func (t *Table) Rows() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]int, 0, len(t.rows))
	for n := range t.rows {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// Service is where the caller counts what no row's writer does.
func (t *Table) Service() *Service { return view[Service](t.own.words[serviceAt:]) }

// Process is what the writers of row n have counted of themselves.
func (t *Table) Process(n int) *Process {
	t.mu.Lock()
	r := t.rows[n]
	t.mu.Unlock()
	p := new(Process)
	if r != nil {
		addUp(wordsOf(p), r.words[processAt:], declared().gauges[KindProcess])
	}
	return p
}

// Server is what all rows have counted of the server at this place; of none it is zeros.
func (t *Table) Server(p Place) *Server { return sumOf[Server](t, KindServer, p) }

// Route is what all rows have counted of the route at this place; of none it is zeros.
func (t *Table) Route(p Place) *Route { return sumOf[Route](t, KindRoute, p) }

// Group is what all rows have counted of the group at this place; of none it is zeros.
func (t *Table) Group(p Place) *Group { return sumOf[Group](t, KindGroup, p) }

// Host is what all rows have counted of the host at this place; of none it is zeros.
func (t *Table) Host(p Place) *Host { return sumOf[Host](t, KindHost, p) }

func sumOf[V any](t *Table, k Kind, p Place) *V {
	v := new(V)
	t.sum(k, p, wordsOf(v))
	return v
}

// Sum is what all rows have counted of the series at this place, which is of kind k, for those who go through its Columns. It uses the memory of
// sums if there is enough.
func (t *Table) Sum(k Kind, p Place, sums Sums) Sums {
	n := declared().words[k]
	sums = slices.Grow(sums[:0], n)[:n]
	clear(sums)
	t.sum(k, p, sums)
	return sums
}

// sum adds up what the rows have into sums, which are zeros.
func (t *Table) sum(k Kind, p Place, sums []uint64) {
	if int(p) < seriesAt || int(p) > rowWords-len(sums) {
		return
	}
	t.mu.Lock()
	rows := make([]*Row, 0, 16)
	for _, r := range t.rows {
		rows = append(rows, r)
	}
	t.mu.Unlock()
	for _, r := range rows {
		addUp(sums, r.words[p:], declared().gauges[k])
	}
}

// addUp adds words to sums. Nothing is too much: a sum stops at the highest number that an int64 has, and a gauge below zero is none.
func addUp(sums, words []uint64, gauges []int) {
	words = words[:len(sums)]
	for i := range sums {
		word := atomic.LoadUint64(&words[i])
		if word == 0 {
			continue
		}
		if word > math.MaxInt64 {
			if slices.Contains(gauges, i) {
				continue
			}
			word = math.MaxInt64
		}
		sums[i] = plus(sums[i], word)
	}
}

// ProcessSums is Process for those who go through the Columns of KindProcess.
func (t *Table) ProcessSums(n int) Sums { return wordsOf(t.Process(n)) }

// ServiceSums is Service for those who go through the Columns of KindService.
func (t *Table) ServiceSums() Sums {
	s := make(Sums, declared().words[KindService])
	addUp(s, t.own.words[serviceAt:], nil)
	return s
}

// Close detaches from all rows. A process that lives as long as its table need not call it.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own.Close()
	for _, r := range t.rows {
		r.Close()
	}
	clear(t.rows)
}
