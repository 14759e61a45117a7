// franz HOST:PORT PREFIX [CHECK…]: franz-go, kgo and kadm, against the server there.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bide/conformance/tap"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type checks struct {
	server, prefix string
	client         *kgo.Client
	admin          *kadm.Client
}

func (c *checks) open(options ...kgo.Opt) (*kgo.Client, error) {
	base := []kgo.Opt{kgo.SeedBrokers(c.server), kgo.ClientID("a client"), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	return kgo.NewClient(append(base, options...)...)
}

func (c *checks) topic(ctx context.Context, name string, partitions int32) (string, error) {
	topic := c.prefix + "-" + name
	made, err := c.admin.CreateTopic(ctx, partitions, 1, nil, topic)
	return topic, errors.Join(err, made.Err)
}

func numbered(topic string, numbers []int, partitions int) []*kgo.Record {
	var all []*kgo.Record
	for _, n := range numbers {
		record := kgo.Record{Topic: topic, Partition: int32(n % partitions), Value: []byte(strconv.Itoa(n))}
		record.Timestamp = time.UnixMilli(tap.Time + int64(n)*1000)
		all = append(all, &record)
	}
	return all
}

func number(r *kgo.Record) int {
	n, _ := strconv.Atoi(string(r.Value))
	return n
}

func (c *checks) filled(ctx context.Context, name string, partitions, records int) (string, error) {
	topic, err := c.topic(ctx, name, int32(partitions))
	if err != nil {
		return "", err
	}
	return topic, c.client.ProduceSync(ctx, numbered(topic, tap.Numbers(0, records), partitions)...).FirstErr()
}

// --- records -------------------------------------------------------------------------------------------------------------

func (c *checks) thereAndBack(name string, options ...kgo.Opt) tap.Check {
	return tap.Check{Name: name, Run: func(ctx context.Context) error {
		topic, err := c.topic(ctx, strings.ReplaceAll(name, "=", "-"), 3)
		if err != nil {
			return err
		}
		writer, err := c.open(options...)
		if err != nil {
			return err
		}
		defer writer.Close()
		var sent []*kgo.Record
		for i := range tap.Records {
			made := tap.Make(i)
			record := kgo.Record{Topic: topic, Partition: int32(made.Partition), Key: made.Key, Value: made.Value}
			record.Timestamp = time.UnixMilli(made.Time)
			for _, header := range made.Headers {
				record.Headers = append(record.Headers, kgo.RecordHeader(header))
			}
			sent = append(sent, &record)
		}
		if err := writer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
			return err
		}
		return c.compare(ctx, topic)
	}}
}

func (c *checks) compare(ctx context.Context, topic string) error {
	reader, err := c.open(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer reader.Close()
	var order tap.Order
	for !order.Over() {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			came := tap.Record{Partition: int(r.Partition), Key: r.Key, Value: r.Value, Time: r.Timestamp.UnixMilli()}
			for _, header := range r.Headers {
				came.Headers = append(came.Headers, tap.Header(header))
			}
			if err := order.Take(came, r.Offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// --- groups --------------------------------------------------------------------------------------------------------------

// Reads from..to as a member of the group that is called as the topic; `then` is called with each number.
func (c *checks) readOn(ctx context.Context, topic string, from, to int, then func(*kgo.Client, int) error) error {
	reader, err := c.open(kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer reader.Close()
	for next := from; next < to; {
		fetches := reader.PollRecords(ctx, 10)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			if err := tap.Equal(number(r), next, "read"); err != nil {
				return err
			}
			if err := then(reader, next); err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

func (c *checks) resume(ctx context.Context) error {
	topic, err := c.filled(ctx, "resume", 1, 100)
	if err != nil {
		return err
	}
	err = c.readOn(ctx, topic, 0, 60, func(_ *kgo.Client, n int) error {
		if n != 49 {
			return nil
		}
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topic, At: 50, LeaderEpoch: -1, Metadata: "half of it"})
		return c.admin.CommitAllOffsets(ctx, topic+"-other", offsets)
	})
	if err != nil {
		return err
	}
	other, err := c.admin.FetchOffsets(ctx, topic+"-other")
	if err != nil {
		return err
	}
	if kept, _ := other.Lookup(topic, 0); kept.At != 50 || kept.Metadata != "half of it" {
		return fmt.Errorf("committed: %v", kept)
	}
	commit := func(reader *kgo.Client, n int) error {
		if n != 59 {
			return nil
		}
		return reader.CommitRecords(ctx, &kgo.Record{Topic: topic, Offset: 49, LeaderEpoch: -1})
	}
	if err := c.readOn(ctx, topic, 0, 60, commit); err != nil {
		return err
	}
	return c.readOn(ctx, topic, 50, 100, func(*kgo.Client, int) error { return nil })
}

func (c *checks) group(name string, options ...kgo.Opt) tap.Check {
	return tap.Check{Name: name, Run: func(ctx context.Context) error {
		topic, err := c.topic(ctx, name, tap.Partitions)
		if err != nil {
			return err
		}
		send := func(numbers []int) error {
			return c.client.ProduceSync(ctx, numbered(topic, numbers, tap.Partitions)...).FirstErr()
		}
		return tap.Rebalances(ctx, true, send, func(m *tap.Member) error { return c.member(ctx, topic, m, options) })
	}}
}

func (c *checks) member(ctx context.Context, topic string, m *tap.Member, options []kgo.Opt) error {
	count := func(partitions map[string][]int32) int { return len(partitions[topic]) }
	lost := func(ctx context.Context, reader *kgo.Client, partitions map[string][]int32) {
		reader.CommitMarkedOffsets(ctx)
		m.Loses(count(partitions))
	}
	all := []kgo.Opt{
		kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(), kgo.HeartbeatInterval(300 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) { m.Gets(count(got)) }),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost),
	}
	reader, err := c.open(append(all, options...)...)
	if err != nil {
		return err
	}
	for m.Leave.Err() == nil {
		fetches := reader.PollRecords(m.Leave, 50)
		if err := fetches.Err(); err != nil && m.Leave.Err() == nil {
			return err
		}
		for _, r := range fetches.Records() {
			m.Read(number(r))
			reader.MarkCommitRecords(r)
		}
		reader.AllowRebalance()
	}
	err = reader.CommitMarkedOffsets(ctx)
	reader.CloseAllowingRebalance()
	return err
}

func main() {
	tap.Main("github.com/twmb/franz-go", func(server, prefix string) []tap.Check {
		c := &checks{server: server, prefix: prefix}
		client, err := c.open()
		if err != nil {
			panic(err)
		}
		c.client, c.admin = client, kadm.NewClient(client)
		codec := func(name string, codec kgo.CompressionCodec) tap.Check {
			return c.thereAndBack(name, kgo.ProducerBatchCompression(codec))
		}
		return append([]tap.Check{
			{Name: "topic", Run: c.topics},
			codec("none", kgo.NoCompression()), codec("gzip", kgo.GzipCompression()), codec("snappy", kgo.SnappyCompression()),
			codec("lz4", kgo.Lz4Compression()), codec("zstd", kgo.ZstdCompression()),
			c.thereAndBack("idempotent"),
			c.thereAndBack("acks=1", kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())),
			{Name: "resume", Run: c.resume},
			c.group("group", kgo.Balancers(kgo.RangeBalancer())),
			c.group("cooperative", kgo.Balancers(kgo.CooperativeStickyBalancer())),
			c.group("consumer-group", kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()),
		}, c.more()...)
	})
}

func isError(err error, wanted *kerr.Error) bool { return errors.Is(err, wanted) }
