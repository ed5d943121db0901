package metrics

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxRemoved is how many removed series of each kind are remembered, in case a configuration has them again.
const maxRemoved = 1000

// placed is a series that has a place.
type placed struct {
	Series
	Place Place
	// Last is the last commit whose configuration had the series, counted from 1; zero if none had.
	Last int

	assigned bool // by the last Assign
}

// Assign assigns places to the series of a coming configuration; equal series get the same place. The configuration in force keeps its places
// until Commit; without a Commit, the next Assign replaces this one. unmeasured is the number of series for which there is no room; their place is zero.
//
// A series that was removed keeps its place and its counts, in case it comes back. If too many were removed, or there is no room for
// a new series, the series that was removed longest ago and whose gauges are zero is forgotten, and its place is reused.
func (t *Table) Assign(series []Series) (places []Place, unmeasured int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, at := range t.series {
		at.assigned = false
	}
	for _, s := range series {
		if at := t.series[s]; at != nil {
			at.assigned = true
		}
	}
	var removed [kinds][]*placed
	for s, at := range t.series {
		if !at.assigned && (t.commits == 0 || at.Last != t.commits) {
			removed[s.Kind] = append(removed[s.Kind], at)
		}
	}
	for _, list := range removed {
		slices.SortFunc(list, func(a, b *placed) int {
			if a.Last != b.Last {
				return a.Last - b.Last
			}
			return int(a.Place) - int(b.Place)
		})
	}
	places = make([]Place, len(series))
	for i, s := range series {
		at := t.series[s]
		if at == nil {
			if at = t.place(s, &removed[s.Kind]); at == nil {
				unmeasured++
				continue
			}
			at.assigned = true
			t.series[s] = at
		}
		places[i] = at.Place
	}
	return places, unmeasured
}

// place finds a place for a new series: unused room, or the place of the series that was removed longest ago.
func (t *Table) place(s Series, removed *[]*placed) *placed {
	size := up(declared().words[s.Kind])
	room := int(t.next)+size <= rowWords
	if !room || len(*removed) > maxRemoved {
		for i, old := range *removed {
			if t.holds(old) {
				continue
			}
			*removed = slices.Delete(*removed, i, i+1)
			delete(t.series, old.Series)
			for _, r := range t.rows {
				for w := range size {
					clearWord(&r.words[int(old.Place)+w])
				}
			}
			return &placed{Series: s, Place: old.Place}
		}
	}
	if !room {
		return nil
	}
	at := &placed{Series: s, Place: t.next}
	t.next += Place(size)
	return at
}

// holds reports whether a writer still holds something of a series, which its gauges tell.
func (t *Table) holds(at *placed) bool {
	for _, r := range t.rows {
		for _, word := range declared().gauges[at.Kind] {
			if held(atomic.LoadUint64(&r.words[int(at.Place)+word])) != 0 {
				return true
			}
		}
	}
	return false
}

// Commit puts the configuration of the last Assign into force.
func (t *Table) Commit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.commits++
	for _, at := range t.series {
		if at.assigned {
			at.Last = t.commits
		}
	}
}

// state is the state of a table for a handover. Its memory is handed over separately, with the table's own row first.
type state struct {
	Rows    []int // the numbers of the other rows, in the order of their files
	Next    Place
	Commits int
	Series  []placed
}

// Snapshot returns the table's state for RestoreTable in a successor, and the descriptors of its memory, which the table still owns.
func (t *Table) Snapshot() (snapshot []byte, files []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := state{Next: t.next, Commits: t.commits}
	files = []int{t.own.FD()}
	for n, r := range t.rows {
		s.Rows = append(s.Rows, n)
		files = append(files, r.FD())
	}
	for _, at := range t.series {
		s.Series = append(s.Series, *at)
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers can always be marshalled
	}
	return b, files
}

// RestoreTable restores a table from a Snapshot. It owns the files, even if it returns an error. The error wraps shared.ErrLayout if the
// predecessor counted other things, or in another layout.
func RestoreTable(snapshot []byte, files []int) (_ *Table, err error) {
	var rows []*Row
	defer func() {
		if err != nil {
			for _, r := range rows {
				r.Close()
			}
		}
	}()
	for i, fd := range files {
		r, err := MapRow(fd)
		if err != nil {
			for _, fd := range files[i+1:] {
				_ = unix.Close(fd)
			}
			return nil, err
		}
		rows = append(rows, r)
	}
	var s state
	if err := json.Unmarshal(snapshot, &s); err != nil {
		return nil, errState("%w", err)
	}
	if len(rows) != 1+len(s.Rows) {
		return nil, errState("there are %d files for %d rows", len(rows), len(s.Rows))
	}
	t := tableOf(rows[0])
	for i, n := range s.Rows {
		if t.rows[n] != nil {
			return nil, errState("row %d comes twice", n)
		}
		t.rows[n] = rows[1+i]
	}
	t.next, t.commits = s.Next, s.Commits
	if int(t.next) < seriesAt || int(t.next) > rowWords {
		return nil, errState("the next place would be %d", t.next)
	}
	slices.SortFunc(s.Series, func(a, b placed) int { return int(a.Place) - int(b.Place) })
	free := seriesAt
	for i := range s.Series {
		at := &s.Series[i]
		end := int(at.Place)
		if at.Kind < KindProcess {
			end += up(declared().words[at.Kind])
		}
		if end == int(at.Place) || int(at.Place) < free || end > int(t.next) || t.series[at.Series] != nil {
			return nil, errState("the place of %+v is not valid", *at)
		}
		free = end
		t.series[at.Series] = at
	}
	return t, nil
}

// errState returns an error for a state that cannot be restored.
func errState(format string, args ...any) error {
	return fmt.Errorf("metrics: while restoring the predecessor's metrics: "+format, args...)
}
