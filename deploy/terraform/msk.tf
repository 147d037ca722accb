# A Kafka cluster (MSK) for the events of all rooms, and the user with whom workers publish them: docs/events.md, Kafka.
# Parlance signs in with SCRAM. MSK's own mechanism (IAM) is not supported by librdkafka, so MSK Serverless, which
# has no other, cannot be used.
#
# kafka.toml of the workers, with the password that is in the secret:
#
#   brokers = "<output msk_brokers>"
#   topic = "parlance.events"
#   partitions = 12
#   create-with-replicas = 3
#   sasl-password-file = "kafka.password"
#   [properties]
#   "security.protocol" = "SASL_SSL"
#   "sasl.mechanism" = "SCRAM-SHA-512"
#   "sasl.username" = "parlance"

variable "msk_subnets" {
  description = "Private subnets, one per zone, in which the brokers are; no Kafka cluster without"
  type        = list(string)
  default     = []
}

variable "msk_security_groups" {
  description = "They allow port 9096 from the workers and from consumers"
  type        = list(string)
  default     = []
}

variable "msk_password" {
  description = "Of the user parlance"
  type        = string
  sensitive   = true
  default     = null
}

locals {
  msk = length(var.msk_subnets) > 0 ? 1 : 0
}

resource "aws_kms_key" "msk" {
  count               = local.msk
  description         = "Passwords of the Kafka cluster: MSK requires a key of one's own"
  enable_key_rotation = true
  tags                = var.tags
}

resource "aws_secretsmanager_secret" "msk" {
  count = local.msk
  # MSK requires this beginning.
  name       = "AmazonMSK_${var.table_prefix}events"
  kms_key_id = aws_kms_key.msk[0].key_id
  tags       = var.tags
}

resource "aws_secretsmanager_secret_version" "msk" {
  count         = local.msk
  secret_id     = aws_secretsmanager_secret.msk[0].id
  secret_string = jsonencode({ username = "parlance", password = var.msk_password })
}

resource "aws_msk_configuration" "events" {
  count = local.msk
  name  = "parlance-events"
  # Rooms are keys: compaction would keep one event per room.
  server_properties = <<-PROPERTIES
    auto.create.topics.enable = false
    default.replication.factor = 3
    log.cleanup.policy = delete
    log.retention.hours = 168
    min.insync.replicas = 2
    unclean.leader.election.enable = false
  PROPERTIES
}

resource "aws_msk_cluster" "events" {
  count                  = local.msk
  cluster_name           = "parlance-events"
  kafka_version          = "3.7.x"
  number_of_broker_nodes = length(var.msk_subnets)
  tags                   = var.tags

  broker_node_group_info {
    instance_type   = "kafka.m7g.large"
    client_subnets  = var.msk_subnets
    security_groups = var.msk_security_groups
    storage_info {
      ebs_storage_info { volume_size = 100 }
    }
  }

  client_authentication {
    sasl { scram = true }
  }

  configuration_info {
    arn      = aws_msk_configuration.events[0].arn
    revision = aws_msk_configuration.events[0].latest_revision
  }

  encryption_info {
    encryption_in_transit { client_broker = "TLS" }
  }
}

resource "aws_msk_scram_secret_association" "events" {
  count           = local.msk
  cluster_arn     = aws_msk_cluster.events[0].arn
  secret_arn_list = [aws_secretsmanager_secret.msk[0].arn]
  depends_on      = [aws_secretsmanager_secret_version.msk]
}

output "msk_brokers" {
  value = one(aws_msk_cluster.events[*].bootstrap_brokers_sasl_scram)
}
