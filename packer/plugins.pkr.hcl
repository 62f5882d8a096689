# What Packer before 1.7 does not know. `packer init packer` fetches it.
packer {
  required_version = ">= 1.9"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.9, < 2"
    }
  }
}

# The newest Deep Learning Base image, as AWS publishes it (SSM public parameters).
data "amazon-parameterstore" "base" {
  name   = "/aws/service/deeplearning/ami/${var.architecture}/base-oss-nvidia-driver-gpu-${var.base}/latest/ami-id"
  region = var.region
}

locals {
  source_ami = var.source_ami != "" ? var.source_ami : data.amazon-parameterstore.base.value
}
