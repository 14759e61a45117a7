package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bide/conformance/tap"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// --- transactions --------------------------------------------------------------------------------------------------------

func (c *checks) transactional(name string) (*kgo.Client, error) {
	return c.open(kgo.TransactionalID(c.prefix+"-"+name), kgo.TransactionTimeout(30*time.Second))
}

func (c *checks) readAll(ctx context.Context, topic string, isolation kgo.IsolationLevel) ([]int, error) {
	reader, err := c.open(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	list := c.admin.ListEndOffsets
	if isolation == kgo.ReadCommitted() {
		list = c.admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topic)
	if err != nil {
		return nil, err
	}
	end, _ := ends.Lookup(topic, 0)
	numbers := []int{}
	for at := int64(0); at < end.Offset; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for _, r := range fetches.Records() {
			at = r.Offset + 1
			if !r.Attrs.IsControl() {
				numbers = append(numbers, number(r))
			}
		}
	}
	return numbers, nil
}

func (c *checks) holds(ctx context.Context, topic string, isolation kgo.IsolationLevel, wanted ...int) error {
	numbers, err := c.readAll(ctx, topic, isolation)
	if err != nil {
		return err
	}
	return tap.Equal(numbers, append([]int{}, wanted...), "read")
}

func transaction(ctx context.Context, writer *kgo.Client, topic string, numbers []int, end kgo.TransactionEndTry) error {
	if err := writer.BeginTransaction(); err != nil {
		return err
	}
	if err := writer.ProduceSync(ctx, numbered(topic, numbers, 1)...).FirstErr(); err != nil {
		return err
	}
	return writer.EndTransaction(ctx, end)
}

// A check of a topic of one partition and a producer with a transactional id, both called by its name.
func (c *checks) transactions(name string, check func(ctx context.Context, topic string, writer *kgo.Client) error) tap.Check {
	return tap.Check{Name: name, Run: func(ctx context.Context) error {
		topic, err := c.topic(ctx, name, 1)
		if err != nil {
			return err
		}
		writer, err := c.transactional(name)
		if err != nil {
			return err
		}
		defer writer.Close()
		return check(ctx, topic, writer)
	}}
}

func (c *checks) commit(ctx context.Context, topic string, writer *kgo.Client) error {
	if err := writer.BeginTransaction(); err != nil {
		return err
	}
	if err := writer.ProduceSync(ctx, numbered(topic, []int{0, 1}, 1)...).FirstErr(); err != nil {
		return err
	}
	if err := c.holds(ctx, topic, kgo.ReadCommitted()); err != nil {
		return fmt.Errorf("of an open one: %w", err)
	}
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	return c.holds(ctx, topic, kgo.ReadCommitted(), 0, 1)
}

func (c *checks) abort(ctx context.Context, topic string, writer *kgo.Client) error {
	err := errors.Join(
		transaction(ctx, writer, topic, []int{0, 1}, kgo.TryCommit),
		transaction(ctx, writer, topic, []int{2, 3}, kgo.TryAbort),
		transaction(ctx, writer, topic, []int{4}, kgo.TryCommit))
	return errors.Join(err, c.holds(ctx, topic, kgo.ReadCommitted(), 0, 1, 4),
		c.holds(ctx, topic, kgo.ReadUncommitted(), 0, 1, 2, 3, 4))
}

// Reads one topic as a member of a group, writes to another and commits what it read, all or nothing.
func (c *checks) txnOffsets(ctx context.Context) error {
	from, err := c.filled(ctx, "txn-offsets", 1, 10)
	if err != nil {
		return err
	}
	to, err := c.topic(ctx, "txn-offsets-to", 1)
	if err != nil {
		return err
	}
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(c.server), kgo.TransactionalID(from), kgo.ConsumerGroup(from),
		kgo.ConsumeTopics(from), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer session.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := session.Begin(); err != nil {
			return err
		}
		fetches := session.PollRecords(ctx, 10)
		if err := errors.Join(fetches.Err(), tap.Equal(fetches.NumRecords(), 10, "read")); err != nil {
			return err
		}
		if err := session.ProduceSync(ctx, numbered(to, []int{0}, 1)...).FirstErr(); err != nil {
			return err
		}
		committed, err := session.End(ctx, end)
		if err := errors.Join(err, tap.Equal(committed, bool(end), "committed")); err != nil {
			return err
		}
		wanted := int64(-1)
		if end {
			wanted = 10
		}
		if err := tap.Equal(c.committed(ctx, from, from), wanted, "committed"); err != nil {
			return err
		}
	}
	return c.holds(ctx, to, kgo.ReadCommitted(), 0)
}

func (c *checks) committed(ctx context.Context, group, topic string) int64 {
	offsets, err := c.admin.FetchOffsets(ctx, group)
	if kept, there := offsets.Lookup(topic, 0); err == nil && there {
		return kept.At
	}
	return -1
}

func (c *checks) fence(ctx context.Context, topic string, before *kgo.Client) error {
	if err := before.BeginTransaction(); err != nil {
		return err
	}
	if err := before.ProduceSync(ctx, numbered(topic, []int{0}, 1)...).FirstErr(); err != nil {
		return err
	}
	after, err := c.transactional("fence")
	if err != nil {
		return err
	}
	defer after.Close()
	if err := transaction(ctx, after, topic, []int{1}, kgo.TryCommit); err != nil {
		return err
	}
	err = before.EndTransaction(ctx, kgo.TryCommit)
	if !isError(err, kerr.InvalidProducerEpoch) && !isError(err, kerr.ProducerFenced) {
		return fmt.Errorf("who was taken over from: %v", err)
	}
	return c.holds(ctx, topic, kgo.ReadCommitted(), 1)
}

// --- administration ------------------------------------------------------------------------------------------------------

func (c *checks) partitionsOf(ctx context.Context, topic string) int {
	topics, err := c.admin.ListTopics(ctx, topic)
	if err != nil || topics.Error() != nil {
		return -1
	}
	return len(topics[topic].Partitions)
}

func (c *checks) topics(ctx context.Context) error {
	topic, err := c.topic(ctx, "topic", 3)
	if err != nil {
		return err
	}
	_, again := c.topic(ctx, "topic", 3)
	return errors.Join(tap.Equal(c.partitionsOf(ctx, topic), 3, "partitions"),
		tap.That(isError(again, kerr.TopicAlreadyExists), "made twice"))
}

func (c *checks) partitions(ctx context.Context) error {
	topic, err := c.topic(ctx, "partitions", 2)
	if err != nil {
		return err
	}
	changed, err := c.admin.UpdatePartitions(ctx, 5, topic)
	return errors.Join(err, changed.Error(), tap.Equal(c.partitionsOf(ctx, topic), 5, "partitions"))
}

func (c *checks) config(ctx context.Context, topic, name string) string {
	described, err := c.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil || described[0].Err != nil {
		return "not described"
	}
	for _, config := range described[0].Configs {
		if config.Key == name {
			return config.MaybeValue()
		}
	}
	return "not there"
}

func (c *checks) configs(ctx context.Context) error {
	topic, hour, compact := c.prefix+"-configs", "3600000", "compact"
	made, err := c.admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &hour}, topic)
	if err := errors.Join(err, made.Err, tap.Equal(c.config(ctx, topic, "retention.ms"), hour, "retention.ms")); err != nil {
		return err
	}
	altered, err := c.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &compact}}, topic)
	return errors.Join(err, altered[0].Err, tap.Equal(c.config(ctx, topic, "cleanup.policy"), compact, "cleanup.policy"),
		tap.Equal(c.config(ctx, topic, "retention.ms"), hour, "retention.ms"))
}

func (c *checks) offset(listed kadm.ListedOffsets, err error) int64 {
	for _, partitions := range listed {
		if err == nil && partitions[0].Err == nil {
			return partitions[0].Offset
		}
	}
	return -100
}

func (c *checks) offsets(ctx context.Context) error {
	topic, err := c.filled(ctx, "offsets", 1, 20)
	return errors.Join(err,
		tap.Equal(c.offset(c.admin.ListStartOffsets(ctx, topic)), int64(0), "earliest"),
		tap.Equal(c.offset(c.admin.ListEndOffsets(ctx, topic)), int64(20), "latest"),
		tap.Equal(c.offset(c.admin.ListMaxTimestampOffsets(ctx, topic)), int64(19), "of the greatest time"),
		tap.Equal(c.offset(c.admin.ListOffsetsAfterMilli(ctx, tap.Time+4500, topic)), int64(5), "behind a time"))
}

func (c *checks) groups(ctx context.Context) error {
	topic, err := c.filled(ctx, "groups", 1, 20)
	if err != nil {
		return err
	}
	err = c.readOn(ctx, topic, 0, 1, func(reader *kgo.Client, _ int) error {
		if err := reader.CommitRecords(ctx, &kgo.Record{Topic: topic, Offset: 3, LeaderEpoch: -1}); err != nil {
			return err
		}
		stable, err := c.admin.ListGroups(ctx, "Stable")
		if err := errors.Join(err, tap.That(stable[topic].State == "Stable", "it is not listed as stable")); err != nil {
			return err
		}
		described, err := c.admin.DescribeGroups(ctx, topic)
		if err != nil || len(described[topic].Members) != 1 {
			return fmt.Errorf("described: %v %v", described, err)
		}
		group := described[topic]
		assigned := group.AssignedPartitions()
		lags, err := c.admin.Lag(ctx, topic)
		return errors.Join(err, tap.That(assigned.Lookup(topic, 0), "its partition"), tap.Equal(lags[topic].Lag.Total(), int64(16), "lag"))
	})
	if err != nil {
		return err
	}
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, At: 9, LeaderEpoch: -1})
	err = errors.Join(c.admin.CommitAllOffsets(ctx, topic, offsets), tap.Equal(c.committed(ctx, topic, topic), int64(9), "altered"))
	if err != nil {
		return err
	}
	dropped, err := c.admin.DeleteOffsets(ctx, topic, kadm.TopicsSet{topic: {0: {}}})
	if err := errors.Join(err, dropped.Error(), tap.Equal(c.committed(ctx, topic, topic), int64(-1), "deleted")); err != nil {
		return err
	}
	if err := c.admin.CommitAllOffsets(ctx, topic, offsets); err != nil {
		return err
	}
	_, err = c.admin.DeleteGroup(ctx, topic)
	listed, more := c.admin.ListGroups(ctx)
	return errors.Join(err, more, tap.Equal(listed[topic].Group, "", "it is still there"))
}

func (c *checks) logDirs(ctx context.Context) error {
	topic, err := c.filled(ctx, "log-dirs", 1, 20)
	if err != nil {
		return err
	}
	dirs, err := c.admin.DescribeAllLogDirs(ctx, nil)
	bytes := int64(0)
	for _, broker := range dirs {
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				bytes += p.Size
			}
		})
	}
	return errors.Join(err, tap.That(bytes > 0, "its log has no size"))
}

func (c *checks) deleteRecords(ctx context.Context) error {
	topic, err := c.filled(ctx, "delete-records", 1, 20)
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, At: 5})
	deleted, more := c.admin.DeleteRecords(ctx, offsets)
	return errors.Join(err, more, deleted.Error(), tap.Equal(c.offset(c.admin.ListStartOffsets(ctx, topic)), int64(5), "earliest"))
}

func (c *checks) deleteTopic(ctx context.Context) error {
	topic, err := c.filled(ctx, "delete-topic", 2, 10)
	_, more := c.admin.DeleteTopic(ctx, topic)
	names, last := c.admin.ListTopics(ctx)
	return errors.Join(err, more, last, tap.That(!names.Has(topic), "it is still there"))
}

func (c *checks) everything(ctx context.Context) error {
	metadata, err := c.admin.Metadata(ctx)
	if err != nil || len(metadata.Brokers) != 1 {
		return fmt.Errorf("%d brokers: %w", len(metadata.Brokers), err)
	}
	configs, err := c.admin.DescribeBrokerConfigs(ctx, metadata.Brokers[0].NodeID)
	if err != nil || len(configs[0].Configs) == 0 {
		return fmt.Errorf("configuration of the broker: %w", err)
	}
	if _, err := c.admin.ApiVersions(ctx); err != nil {
		return err
	}
	_, err = c.admin.DescribeTopicConfigs(ctx, metadata.Topics.Names()...)
	return err
}

// Where who writes is looked at, transaction by transaction.
func (c *checks) look(ctx context.Context, topic string, writer *kgo.Client) error {
	if err := writer.BeginTransaction(); err != nil {
		return err
	}
	if err := writer.ProduceSync(ctx, numbered(topic, []int{0}, 1)...).FirstErr(); err != nil {
		return err
	}
	listed, err := c.admin.ListTransactions(ctx, nil, nil)
	if err != nil || listed[topic].State != "Ongoing" {
		return fmt.Errorf("listed: %v %v", listed[topic], err)
	}
	described, err := c.admin.DescribeTransactions(ctx, topic)
	if err != nil || !described[topic].Topics.Lookup(topic, 0) {
		return fmt.Errorf("described: %v %v", described[topic], err)
	}
	producers, err := c.admin.DescribeProducers(ctx, kadm.TopicsSet{topic: {0: {}}})
	if err != nil || len(producers[topic].Partitions[0].ActiveProducers) != 1 {
		return fmt.Errorf("producers: %v %v", producers, err)
	}
	return writer.EndTransaction(ctx, kgo.TryCommit)
}

func (c *checks) more() []tap.Check {
	return []tap.Check{
		c.transactions("commit", c.commit), c.transactions("abort", c.abort),
		{Name: "txn-offsets", Run: c.txnOffsets}, c.transactions("fence", c.fence),
		{Name: "configs", Run: c.configs}, {Name: "offsets", Run: c.offsets}, {Name: "groups", Run: c.groups},
		{Name: "log-dirs", Run: c.logDirs}, {Name: "partitions", Run: c.partitions},
		{Name: "delete-records", Run: c.deleteRecords}, {Name: "delete-topic", Run: c.deleteTopic},
		{Name: "everything", Run: c.everything}, c.transactions("transactions", c.look),
	}
}
