package tap

import (
	"context"
	"fmt"
	"sync"
)

const (
	Partitions = 6
	ahead      = 1000
	stage      = 300
)

// Members say what they have read; who waits for something is told of every change.
type Members struct {
	mutex   sync.Mutex
	changed *sync.Cond
	times   map[int]int
	count   int
	over    bool
	err     error
}

type Member struct {
	members    *Members
	size, read int
	Leave      context.Context // done: it is to commit, and to leave
	cancel     context.CancelFunc
	left       chan error
}

// Read says that these were read; Has, how many partitions it has.
func (m *Member) Read(numbers ...int) {
	m.members.mutex.Lock()
	defer m.members.mutex.Unlock()
	for _, n := range numbers {
		m.members.times[n]++
	}
	m.members.count += len(numbers)
	m.read += len(numbers)
	m.members.changed.Broadcast()
}

func (m *Member) Has(size int) {
	m.members.mutex.Lock()
	defer m.members.mutex.Unlock()
	m.size = size
	m.members.changed.Broadcast()
}

// Gets and Loses are for clients that tell what changes.
func (m *Member) Gets(more int) {
	m.members.mutex.Lock()
	defer m.members.mutex.Unlock()
	m.size += more
	m.members.changed.Broadcast()
}

func (m *Member) Loses(some int) { m.Gets(-some) }

func (s *Members) until(ctx context.Context, condition func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for !condition() && s.err == nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%d records read: %w", s.count, ctx.Err())
		}
		s.changed.Wait()
	}
	return s.err
}

func (s *Members) join(run func(*Member) error) *Member {
	m := &Member{members: s, left: make(chan error, 1)}
	m.Leave, m.cancel = context.WithCancel(context.Background())
	go func() {
		err := run(m)
		s.mutex.Lock()
		if err != nil {
			s.err = err
		}
		s.changed.Broadcast()
		s.mutex.Unlock()
		m.left <- err
	}()
	return m
}

func (m *Member) leave() error {
	m.cancel()
	return <-m.left
}

// Rebalances has one join and one leave, while a producer goes on; every record is read, and, where it is strict, none twice. `send`
// writes numbers, in turns to the partitions of the topic; `run` is a member of the group until it is to leave.
func Rebalances(ctx context.Context, strict bool, send func(numbers []int) error, run func(*Member) error) error {
	s := &Members{times: map[int]int{}}
	s.changed = sync.NewCond(&s.mutex)
	sent, produced := 0, make(chan error, 1)
	go func() { produced <- s.produce(ctx, send, &sent) }()

	first := s.join(run)
	if err := s.until(ctx, func() bool { return s.count >= stage }); err != nil {
		return err
	}
	second := s.join(run)
	before, more := 0, 0
	err := s.until(ctx, func() bool {
		before, more = first.read, second.read
		return second.size > 0 && first.size+second.size == Partitions
	})
	if err != nil {
		return fmt.Errorf("with two members: %w", err)
	}
	both := func() bool { return first.read > before+stage && second.read > more+stage }
	if err := s.until(ctx, both); err != nil {
		return fmt.Errorf("reading by two: %w", err)
	}
	if err := first.leave(); err != nil {
		return err
	}
	err = s.until(ctx, func() bool {
		more = second.read
		return second.size == Partitions
	})
	if err != nil {
		return fmt.Errorf("with one left: %w", err)
	}
	if err := s.until(ctx, func() bool { return second.read > more+stage }); err != nil {
		return err
	}
	s.mutex.Lock()
	s.over = true
	s.changed.Broadcast()
	s.mutex.Unlock()
	if err := <-produced; err != nil {
		return err
	}
	if err := s.until(ctx, func() bool { return len(s.times) == sent }); err != nil {
		return fmt.Errorf("%d of %d read: %w", len(s.times), sent, err)
	}
	if err := second.leave(); err != nil {
		return err
	}
	twice := 0
	for _, times := range s.times {
		if times > 1 {
			twice++
		}
	}
	if strict && twice > 0 {
		return fmt.Errorf("%d of %d records were read twice", twice, sent)
	}
	return nil
}

func (s *Members) produce(ctx context.Context, send func([]int) error, sent *int) error {
	for over := false; !over; {
		if err := send(Numbers(*sent, *sent+60)); err != nil {
			return err
		}
		*sent += 60
		err := s.until(ctx, func() bool {
			over = s.over
			return *sent < s.count+ahead || over
		})
		if err != nil {
			return err
		}
	}
	return nil
}
