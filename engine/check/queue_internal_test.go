package check

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kroxy-ev/config"
)

func tasksOf(specs ...config.HealthCheck) []*task {
	var list []*task
	for i, s := range specs {
		list = append(list, &task{target: &Target{ID: i, Check: s}, place: -1})
	}
	return list
}

func TestSpread(t *testing.T) {
	t.Parallel()
	now := time.Now()
	often, seldom := config.HealthCheck{Interval: 400 * time.Millisecond}, config.HealthCheck{Interval: time.Hour}
	for _, c := range []struct {
		specs []config.HealthCheck
		want  []time.Duration
	}{
		{nil, nil},
		{[]config.HealthCheck{seldom}, []time.Duration{0}},
		{[]config.HealthCheck{often, often, often, often}, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}},
		{[]config.HealthCheck{seldom, often, seldom, often}, []time.Duration{0, 100 * time.Millisecond, time.Second, 300 * time.Millisecond}},
	} {
		list := tasksOf(c.specs...)
		spread(list, now)
		var got []time.Duration
		for _, one := range list {
			got = append(got, one.due.Sub(now))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

func TestAgain(t *testing.T) {
	t.Parallel()
	began := time.Now()
	spec := config.HealthCheck{Interval: time.Second, FastInterval: 100 * time.Millisecond}
	for what, c := range map[string]struct {
		spec   config.HealthCheck
		health health
		took   time.Duration
		chance float64
		want   time.Duration
	}{
		"interval":           {spec, health{state: Up}, 0, 0, time.Second},
		"a tenth less":       {spec, health{state: Up}, 0, 1, 900 * time.Millisecond},
		"from its beginning": {spec, health{state: Down}, 500 * time.Millisecond, 0, time.Second},
		"in transition":      {spec, health{state: Up, streak: 1}, 0, 0, 100 * time.Millisecond},
		"and a tenth less":   {spec, health{state: Down, streak: 1}, 0, 0.5, 95 * time.Millisecond},
		"took longer":        {spec, health{state: Up}, 3 * time.Second, 0, 3 * time.Second},
		"no interval":        {config.HealthCheck{}, health{state: Up}, 0, 0, shortest},
	} {
		one := task{target: &Target{Check: c.spec}, health: c.health}
		one.again(began, began.Add(c.took), c.chance)
		if got := one.due.Sub(began); got != c.want {
			t.Errorf("%s: after %v, want %v", what, got, c.want)
		}
	}
}

// The queue returns due tasks in order, like a sorted list, and no removed ones.
func TestQueue(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Now()
	for range 100 {
		var q queue
		var oracle []*task
		for range 1 + r.IntN(40) {
			one := &task{place: -1, due: begin.Add(time.Duration(r.IntN(1000)) * time.Millisecond)}
			q.push(one)
			oracle = append(oracle, one)
		}
		for range r.IntN(10) {
			at := r.IntN(len(oracle))
			q.remove(oracle[at])
			q.remove(oracle[at]) // a second removal does nothing
			if oracle = slices.Delete(oracle, at, at+1); len(oracle) == 0 {
				break
			}
		}
		slices.SortStableFunc(oracle, func(a, b *task) int { return a.due.Compare(b.due) })
		for now := begin; len(oracle) > 0; now = now.Add(50 * time.Millisecond) {
			if at, ok := q.next(); !ok || !at.Equal(oracle[0].due) {
				t.Fatalf("the next is due at %v, %v; want %v", at, ok, oracle[0].due)
			}
			for len(oracle) > 0 && !oracle[0].due.After(now) {
				one := q.pop(now)
				if one == nil || !one.due.Equal(oracle[0].due) || one.place != -1 {
					t.Fatalf("at %v: got %v, want a task due at %v", now, one, oracle[0].due)
				}
				oracle = oracle[1:]
			}
			if one := q.pop(now); one != nil {
				t.Fatalf("at %v: got a task due at %v", now, one.due)
			}
		}
		if _, ok := q.next(); ok {
			t.Fatal("the queue is not empty")
		}
	}
}
