//! The awscontainerinsightreceiver: Container Insights records of this node.
