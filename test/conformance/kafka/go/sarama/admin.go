package main

import (
	"context"
	"errors"
	"fmt"

	"bide/conformance/tap"

	"github.com/IBM/sarama"
)

// --- transactions --------------------------------------------------------------------------------------------------------

func (c *checks) transactional(name string) (sarama.SyncProducer, error) {
	config := configuration()
	idempotent(config)
	config.Producer.Transaction.ID = c.prefix + "-" + name
	return sarama.NewSyncProducer([]string{c.server}, config)
}

// Of a topic of one partition, up to the record that is the last.
func (c *checks) holds(topic string, isolation sarama.IsolationLevel, wanted ...int) error {
	config := configuration()
	config.Consumer.IsolationLevel = isolation
	consumer, err := sarama.NewConsumer([]string{c.server}, config)
	if err != nil {
		return err
	}
	defer consumer.Close()
	reader, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer reader.Close()
	var numbers []int
	for len(numbers) == 0 || numbers[len(numbers)-1] != wanted[len(wanted)-1] {
		numbers = append(numbers, number(<-reader.Messages()))
	}
	return tap.Equal(numbers, wanted, "read")
}

func transaction(writer sarama.SyncProducer, topic string, numbers []int, end func() error) error {
	if err := writer.BeginTxn(); err != nil {
		return err
	}
	return errors.Join(writer.SendMessages(numbered(topic, numbers, 1)), end())
}

// A check of a topic of one partition and a producer with a transactional id, both called by its name.
func (c *checks) transactions(name string, check func(topic string, writer sarama.SyncProducer) error) tap.Check {
	return tap.Check{Name: name, Run: func(context.Context) error {
		topic, err := c.topic(name, 1)
		if err != nil {
			return err
		}
		writer, err := c.transactional(name)
		if err != nil {
			return err
		}
		defer writer.Close()
		return check(topic, writer)
	}}
}

func (c *checks) commit(topic string, writer sarama.SyncProducer) error {
	err := transaction(writer, topic, []int{0, 1}, writer.CommitTxn)
	return errors.Join(err, c.holds(topic, sarama.ReadCommitted, 0, 1))
}

func (c *checks) abort(topic string, writer sarama.SyncProducer) error {
	err := errors.Join(
		transaction(writer, topic, []int{0, 1}, writer.CommitTxn),
		transaction(writer, topic, []int{2, 3}, writer.AbortTxn),
		transaction(writer, topic, []int{4}, writer.CommitTxn))
	return errors.Join(err, c.holds(topic, sarama.ReadCommitted, 0, 1, 4), c.holds(topic, sarama.ReadUncommitted, 0, 1, 2, 3, 4))
}

func (c *checks) committed(group string) int64 {
	kept, err := c.admin.ListConsumerGroupOffsets(group, nil)
	if err != nil || kept.GetBlock(group, 0) == nil {
		return -1
	}
	return kept.GetBlock(group, 0).Offset
}

func (c *checks) txnOffsets(topic string, writer sarama.SyncProducer) error {
	for _, commit := range []bool{false, true} {
		if err := writer.BeginTxn(); err != nil {
			return err
		}
		if err := writer.SendMessages(numbered(topic, []int{0}, 1)); err != nil {
			return err
		}
		offsets := map[string][]*sarama.PartitionOffsetMetadata{topic: {{Partition: 0, Offset: 3, LeaderEpoch: -1}}}
		if err := writer.AddOffsetsToTxn(offsets, topic); err != nil {
			return err
		}
		end, wanted := writer.AbortTxn, int64(-1)
		if commit {
			end, wanted = writer.CommitTxn, 3
		}
		if err := errors.Join(end(), tap.Equal(c.committed(topic), wanted, "committed")); err != nil {
			return err
		}
	}
	return nil
}

func (c *checks) fence(topic string, before sarama.SyncProducer) error {
	if err := before.BeginTxn(); err != nil {
		return err
	}
	if err := before.SendMessages(numbered(topic, []int{0}, 1)); err != nil {
		return err
	}
	after, err := c.transactional("fence")
	if err != nil {
		return err
	}
	defer after.Close()
	err = before.CommitTxn()
	if !errors.Is(err, sarama.ErrInvalidProducerEpoch) && !errors.Is(err, sarama.ErrProducerFenced) {
		return fmt.Errorf("who was taken over from: %v", err)
	}
	return errors.Join(transaction(after, topic, []int{1}, after.CommitTxn), c.holds(topic, sarama.ReadCommitted, 1))
}

// --- administration ------------------------------------------------------------------------------------------------------

func (c *checks) partitionsOf(topic string) int {
	described, err := c.admin.DescribeTopics([]string{topic})
	if err != nil || described[0].Err != sarama.ErrNoError {
		return -1
	}
	return len(described[0].Partitions)
}

func (c *checks) topics(context.Context) error {
	topic, err := c.topic("topic", 3)
	if err != nil {
		return err
	}
	_, again := c.topic("topic", 3)
	return errors.Join(tap.Equal(c.partitionsOf(topic), 3, "partitions"),
		tap.That(errors.Is(again, sarama.ErrTopicAlreadyExists), "made twice"))
}

func (c *checks) partitions(context.Context) error {
	topic, err := c.topic("partitions", 2)
	return errors.Join(err, c.admin.CreatePartitions(topic, 5, nil, false), tap.Equal(c.partitionsOf(topic), 5, "partitions"))
}

func (c *checks) config(topic, name string) string {
	entries, err := c.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}})
	if err != nil || len(entries) != 1 {
		return fmt.Sprint(entries, err)
	}
	return entries[0].Value
}

func (c *checks) configs(context.Context) error {
	topic, hour, compact := c.prefix+"-configs", "3600000", "compact"
	detail := sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &hour}}
	err := errors.Join(c.admin.CreateTopic(topic, &detail, false), tap.Equal(c.config(topic, "retention.ms"), hour, "retention.ms"))
	if err != nil {
		return err
	}
	change := map[string]sarama.IncrementalAlterConfigsEntry{
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &compact},
	}
	return errors.Join(c.admin.IncrementalAlterConfig(sarama.TopicResource, topic, change, false),
		tap.Equal(c.config(topic, "cleanup.policy"), compact, "cleanup.policy"),
		tap.Equal(c.config(topic, "retention.ms"), hour, "retention.ms"),
		c.admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &hour}, false),
		tap.Equal(c.config(topic, "cleanup.policy"), "delete", "cleanup.policy"))
}

func (c *checks) offsets(context.Context) error {
	topic, err := c.filled("offsets", 1, 20)
	if err != nil {
		return err
	}
	for _, row := range []struct{ time, wanted int64 }{
		{sarama.OffsetOldest, 0}, {sarama.OffsetNewest, 20}, {tap.Time + 4500, 5}, {tap.Time + 30_000, -1},
	} {
		offset, err := c.client.GetOffset(topic, 0, row.time)
		if err := errors.Join(err, tap.Equal(offset, row.wanted, fmt.Sprint("offset at ", row.time))); err != nil {
			return err
		}
	}
	return nil
}

func (c *checks) groups(ctx context.Context) error {
	topic, err := c.filled("groups", 1, 20)
	if err != nil {
		return err
	}
	err = c.consume(ctx, topic, configuration(), &handler{take: func(s sarama.ConsumerGroupSession, m *sarama.ConsumerMessage) (bool, error) {
		s.MarkOffset(topic, 0, 4, "")
		s.Commit()
		listed, err := c.admin.ListConsumerGroups()
		if err := errors.Join(err, tap.Equal(listed[topic], "consumer", "it is not listed")); err != nil {
			return true, err
		}
		described, err := c.admin.DescribeConsumerGroups([]string{topic})
		if err != nil || described[0].State != "Stable" || len(described[0].Members) != 1 {
			return true, fmt.Errorf("described: %v %v", described, err)
		}
		for _, member := range described[0].Members {
			assigned, err := member.GetMemberAssignment()
			return true, errors.Join(err, tap.Equal(assigned.Topics[topic], []int32{0}, "its partitions"))
		}
		return true, nil
	}})
	if err := errors.Join(err, tap.Equal(c.committed(topic), int64(4), "committed")); err != nil {
		return err
	}
	if err := errors.Join(c.admin.DeleteConsumerGroupOffset(topic, topic, 0), tap.Equal(c.committed(topic), int64(-1), "deleted")); err != nil {
		return err
	}
	err = c.admin.DeleteConsumerGroup(topic)
	listed, more := c.admin.ListConsumerGroups()
	return errors.Join(err, more, tap.Equal(listed[topic], "", "it is still there"))
}

func (c *checks) logDirs(context.Context) error {
	topic, err := c.filled("log-dirs", 1, 20)
	if err != nil {
		return err
	}
	dirs, err := c.admin.DescribeLogDirs([]int32{c.client.Brokers()[0].ID()})
	bytes := int64(0)
	for _, broker := range dirs {
		for _, dir := range broker {
			for _, one := range dir.Topics {
				if one.Topic == topic {
					bytes += one.Partitions[0].Size
				}
			}
		}
	}
	return errors.Join(err, tap.That(bytes > 0, "its log has no size"))
}

func (c *checks) deleteRecords(context.Context) error {
	topic, err := c.filled("delete-records", 1, 20)
	if err != nil {
		return err
	}
	err = c.admin.DeleteRecords(topic, map[int32]int64{0: 5})
	offset, more := c.client.GetOffset(topic, 0, sarama.OffsetOldest)
	return errors.Join(err, more, tap.Equal(offset, int64(5), "earliest"))
}

func (c *checks) deleteTopic(context.Context) error {
	topic, err := c.filled("delete-topic", 2, 10)
	err = errors.Join(err, c.admin.DeleteTopic(topic))
	topics, more := c.admin.ListTopics()
	_, there := topics[topic]
	return errors.Join(err, more, tap.That(!there, "it is still there"))
}

func (c *checks) everything(context.Context) error {
	brokers, controller, err := c.admin.DescribeCluster()
	if err := errors.Join(err, tap.Equal(len(brokers), 1, "brokers")); err != nil {
		return err
	}
	entries, err := c.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.BrokerResource, Name: fmt.Sprint(controller)})
	if err := errors.Join(err, tap.That(len(entries) > 0, "the broker has no configuration")); err != nil {
		return err
	}
	_, err = c.admin.ListAcls(sarama.AclFilter{
		ResourceType: sarama.AclResourceAny, Operation: sarama.AclOperationAny, PermissionType: sarama.AclPermissionAny,
		ResourcePatternTypeFilter: sarama.AclPatternAny,
	})
	return tap.That(errors.Is(err, sarama.ErrSecurityDisabled), fmt.Sprint("ACLs: ", err))
}

func (c *checks) more() []tap.Check {
	return []tap.Check{
		c.transactions("commit", c.commit), c.transactions("abort", c.abort), c.transactions("txn-offsets", c.txnOffsets),
		c.transactions("fence", c.fence),
		{Name: "configs", Run: c.configs}, {Name: "offsets", Run: c.offsets}, {Name: "groups", Run: c.groups},
		{Name: "log-dirs", Run: c.logDirs}, {Name: "partitions", Run: c.partitions},
		{Name: "delete-records", Run: c.deleteRecords}, {Name: "delete-topic", Run: c.deleteTopic},
		{Name: "everything", Run: c.everything},
	}
}
