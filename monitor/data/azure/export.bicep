// export.bicep: makes Azure write the costs of a subscription to a storage account every day, with a manifest.
//
//   az deployment sub create --location LOCATION --template-file export.bicep \
//     --parameters storageAccountId=RESOURCE_ID container=costs
//
// For a billing scope make the same export in the portal. Whoever deploys this needs Cost Management Contributor, and
// the subscription Microsoft.CostManagementExports (az provider register --namespace Microsoft.CostManagementExports).
//
// What reads it, in monitor.toml:
//
//# [[source]]
//# name = "exported-costs"
//# kind = "cost-export"
//# path = "https://ACCOUNT.blob.core.windows.net/costs/maas-monitor/**/manifest.json"

targetScope = 'subscription'

@description('Resource id of the storage account.')
param storageAccountId string

@description('Its container, which must be there.')
param container string = 'costs'

@description('FocusCost and ActualCost for Enterprise and Microsoft Customer Agreements, Usage for pay-as-you-go.')
@allowed(['FocusCost', 'ActualCost', 'Usage'])
param type string = 'FocusCost'

@description('When the first one is made; it must lie in the future.')
param start string = dateTimeAdd(utcNow(), 'P1D')

resource export 'Microsoft.CostManagement/exports@2025-03-01' = {
  name: 'maas-monitor'
  properties: {
    exportDescription: 'Read by maas-monitor.'
    definition: {
      type: type
      // Every export says all that is known of the month; a later one replaces what an earlier one said.
      timeframe: 'MonthToDate'
      dataSet: {
        granularity: 'Daily'
        configuration: type == 'FocusCost' ? { dataVersion: '1.0r2' } : {}
      }
    }
    format: 'Csv'
    compressionMode: 'gzip'
    partitionData: true
    dataOverwriteBehavior: 'OverwritePreviousReport'
    deliveryInfo: {
      destination: {
        type: 'AzureBlob'
        resourceId: storageAccountId
        container: container
        rootFolderPath: 'maas-monitor'
      }
    }
    schedule: {
      status: 'Active'
      recurrence: 'Daily'
      recurrencePeriod: {
        from: start
        to: dateTimeAdd(start, 'P20Y')
      }
    }
  }
}
